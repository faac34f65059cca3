'use strict'

const assert = require('node:assert/strict')
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { test } = require('node:test')

const flowgate = require('flowgate')

const here = join(__dirname, '..')
const { files } = require('flowgate/package.json')
const listed = files.filter((file) => !file.includes('*'))
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
  mkdirSync(join(packed, 'bin'))
  for (const file of ['package.json', 'bin/flowgate.cjs', ...listed]) cpSync(join(here, file), join(packed, file))
  const runner = (more) => (...args) => {
    const env = { ...process.env, FLOWGATE_NATIVE: '', NAPI_RS_NATIVE_LIBRARY_PATH: '', FLOWGATE_BINARY: '', ...more }
    return spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' })
  }
  return { folder, packed, run: Object.assign(runner({}), { with: runner }) }
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
  const written = readdirSync(here).filter((file) => /^[a-z]+(\.d)?\.[cm][jt]s$/.test(file) && !['build.mjs', 'platform.mjs'].includes(file))
  assert.deepEqual(written.sort(), listed.sort())
})

/** A program that says what it was asked, and ends as it is told. */
const PROGRAM = '#!/bin/sh\necho "$@"\n[ "$1" = wait ] && exec sleep 60\nexit "$1"\n'

test('npx runs the program of the package, with its arguments and its exit code', { skip: process.platform === 'win32' }, (t) => {
  const { packed, run } = install(t)
  writeFileSync(join(packed, 'bin', 'flowgate'), PROGRAM, { mode: 0o755 })
  const { status, stdout } = run(join(packed, 'bin', 'flowgate.cjs'), '7', 'a b')
  assert.deepEqual([status, stdout], [7, '7 a b\n'])
})

test('a signal reaches the program, which ends before its shim does', { skip: process.platform === 'win32' }, async (t) => {
  const { packed } = install(t)
  writeFileSync(join(packed, 'bin', 'flowgate'), PROGRAM, { mode: 0o755 })
  const shim = spawn(process.execPath, [join(packed, 'bin', 'flowgate.cjs'), 'wait'], {
    env: { ...process.env, FLOWGATE_BINARY: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(shim.stdout, 'data')
  shim.kill('SIGTERM')
  const [code] = await once(shim, 'close') // the program holds the pipe
  assert.equal(code, 128 + 15)
})

test('FLOWGATE_BINARY comes first, and without any program one error says what was tried', (t) => {
  const { folder, packed, run } = install(t)
  const program = join(folder, 'other')
  writeFileSync(program, PROGRAM, { mode: 0o755 })
  const shim = join(packed, 'bin', 'flowgate.cjs')
  assert.equal(run.with({ FLOWGATE_BINARY: program })(shim, '0', 'x').stdout, '0 x\n')
  const none = run.with({ PATH: folder })(shim)
  assert.equal(none.status, 3)
  assert.match(none.stderr, /^error: the program `flowgate` is not installed; tried the path and:\n.*bin.flowgate\n/)
  assert.match(run.with({ FLOWGATE_BINARY: join(folder, 'gone') })(shim).stderr, /FLOWGATE_BINARY is not a program/)
})
