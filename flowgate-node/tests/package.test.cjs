'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { test } = require('node:test')

const flowgate = require('flowgate')

const here = join(__dirname, '..')
const { files } = require('flowgate/package.json')
const target = `${process.platform}-${process.arch}`
const kind = process.platform === 'linux' ? '-gnu' : ''

test('require and import give the same classes', async () => {
  const imported = await import('flowgate')
  assert.deepEqual(Object.keys(imported).sort(), Object.keys(flowgate).sort())
  for (const [name, value] of Object.entries(flowgate)) assert.equal(imported[name], value)
})

/** Lays out what npm would install: the files that `package.json` lists, and no more. */
function install(t) {
  const folder = mkdtempSync(join(tmpdir(), 'flowgate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const packed = join(folder, 'node_modules', 'flowgate')
  mkdirSync(packed, { recursive: true })
  for (const file of ['package.json', ...files.filter((file) => !file.includes('*'))]) cpSync(join(here, file), join(packed, file))
  const run = (...args) => {
    const env = { ...process.env, FLOWGATE_NATIVE: '', NAPI_RS_NATIVE_LIBRARY_PATH: '' }
    return spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' })
  }
  return { folder, packed, run }
}

const native = process.env.FLOWGATE_NATIVE
const REQUIRE = ['-e', "console.log(require('flowgate').Config.name)"]
const IMPORT = ['--input-type=module', '-e', "import { Config } from 'flowgate'; console.log(Config.name)"]

test('the package works with the library beside it', { skip: !native }, (t) => {
  const { packed, run } = install(t)
  cpSync(native, join(packed, `flowgate.${target}${kind}.node`))
  for (const args of [REQUIRE, IMPORT]) assert.equal(run(...args).stdout, 'Config\n')
})

test('the package works with the library in a package of its platform', { skip: !native }, (t) => {
  const { folder, run } = install(t)
  const library = join(folder, 'node_modules', '@flowgate', `${target}${kind}`)
  mkdirSync(library, { recursive: true })
  cpSync(native, join(library, 'index.node'))
  for (const args of [REQUIRE, IMPORT]) assert.equal(run(...args).stdout, 'Config\n')
})

test('without a library, one error says what was tried', (t) => {
  const { stderr, status } = install(t).run(...REQUIRE)
  assert.equal(status, 1)
  assert.match(stderr, new RegExp(`flowgate has no native library for ${target}; tried:\n.*flowgate\\.${target}`))
  assert.match(stderr, new RegExp(`@flowgate/${target}.*Cannot find module`))
})

test('what the code needs is in the list of files', () => {
  const written = readdirSync(here).filter((file) => /^[a-z]+(\.d)?\.[cm][jt]s$/.test(file) && file !== 'build.mjs')
  assert.deepEqual(written.sort(), files.filter((file) => !file.includes('*')).sort())
})
