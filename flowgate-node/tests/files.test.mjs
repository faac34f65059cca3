import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'

import { activate, activeProfile, Config, FileError, ProfileError } from 'flowgate'

const SECRET = 'sk-do-not-show'

/** A configuration file in a folder of its own; the secret comes from `credential`. */
function project(t, credential) {
  const folder = mkdtempSync(join(tmpdir(), 'flowgate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'flowgate.yaml')
  writeFileSync(
    file,
    `config_version: 2
credentials: { upstream: { main: ${JSON.stringify(credential)} } }
litellm_base: { model_list: [ { model_name: m, litellm_params: { model: x, api_key_ref: main } } ] }
profiles: { a: {}, b: { litellm_settings: { num_retries: 2 } } }
`,
  )
  return { folder, file }
}

const mode = (file) => (statSync(file).mode & 0o777).toString(8)

test('a file is read, by path or URL, at once or later', async (t) => {
  const { file } = project(t, { env: 'X' })
  for (const config of [await Config.load(file), await Config.load(pathToFileURL(file)), Config.loadSync(file), Config.loadSync(pathToFileURL(file))]) {
    assert.deepEqual([config.file, config.profiles], [file, ['a', 'b']])
  }
})

test('paths are resolved from the folder of the file', (t) => {
  const { folder, file } = project(t, { file: 'key' })
  const config = Config.loadSync(file)
  assert.equal(config.toJSON().credentials.upstream.main.file, 'key')
  const resolved = config.resolve()
  assert.equal(resolved.toJSON().credentials.upstream.main.file, join(folder, 'key'))
  assert.deepEqual(resolved.resolve().toJSON(), resolved.toJSON())
})

test('a profile becomes the active one, once', async (t) => {
  const { folder, file } = project(t, { file: 'key' })
  writeFileSync(join(folder, 'key'), `${SECRET}\n`)
  const config = await Config.load(file)
  assert.equal(activeProfile(config), null)

  const before = Date.now()
  const first = await activate(config, 'b')
  assert.deepEqual(first, {
    profile: 'b',
    activeConfig: join(folder, '.router/runtime/litellm.active.yaml'),
    stateFile: join(folder, '.router/runtime/state.json'),
    changed: true,
  })
  // The one with the secrets, and the folder of both.
  assert.deepEqual([mode(first.activeConfig), mode(dirname(first.activeConfig))], ['600', '700'])
  assert.match(readFileSync(first.activeConfig, 'utf8'), new RegExp(`api_key: ${SECRET}`))
  const { currentProfile, updatedAt } = activeProfile(config)
  assert.equal(currentProfile, 'b')
  assert(Date.parse(updatedAt) >= before && Date.parse(updatedAt) <= Date.now())

  const again = await activate(config, 'b')
  assert.deepEqual(again, { ...first, changed: false })
  assert.equal(activeProfile(config).updatedAt, updatedAt)
  assert.equal((await activate(config, 'a')).changed, true)
  assert.equal(activeProfile(config).currentProfile, 'a')
})

test('an activation that fails changes nothing and says why, without secrets', async (t) => {
  const { file } = project(t, { command: ['sh', '-c', `echo ${SECRET}; exit 3`] })
  const config = await Config.load(file)
  await assert.rejects(activate(config, 'c'), { code: 'profile.unknown' })
  const failed = await activate(config, 'a').catch((error) => error)
  assert(failed instanceof ProfileError)
  assert.equal(failed.code, 'profile.credentials')
  assert(!(inspect(failed, { depth: null, showHidden: true }) + JSON.stringify(failed)).includes(SECRET), failed)
  assert.equal(activeProfile(config), null)

  const { folder: other, file: good } = project(t, { command: ['echo', SECRET] })
  writeFileSync(join(other, '.router'), 'in the way')
  const blocked = await activate(await Config.load(good), 'a').catch((error) => error)
  assert(blocked instanceof FileError)
  assert.equal(blocked.code, 'runtime.cannot_write')
  assert(blocked.path.startsWith(other))
  assert(!(inspect(blocked, { depth: null, showHidden: true }) + JSON.stringify(blocked)).includes(SECRET))
})

test('waiting does not block the loop', async (t) => {
  const { file } = project(t, { command: ['sh', '-c', `sleep 0.4; echo ${SECRET}`] })
  const config = await Config.load(file)
  let ticks = 0
  const timer = setInterval(() => ticks++, 10)
  await Promise.all(['a', 'b', 'a'].map((name) => activate(config, name)))
  clearInterval(timer)
  assert(ticks >= 10, `${ticks} ticks`)
})

test('many at once leave one whole result', async (t) => {
  const { file } = project(t, { command: ['echo', SECRET] })
  const config = await Config.load(file)
  const done = await Promise.all(Array.from({ length: 20 }, (_, i) => activate(config, 'ab'[i % 2])))
  const text = readFileSync(done[0].activeConfig, 'utf8')
  assert.equal(text.includes('num_retries: 2'), activeProfile(config).currentProfile === 'b')
})

test('links that lead round are an error', async (t) => {
  const { folder } = project(t, { env: 'X' })
  const link = join(folder, 'link')
  symlinkSync(link, link)
  await assert.rejects(Config.load(link), { code: 'runtime.cannot_read', path: link })
})

test('workers have the library to themselves, and may end at any time', async (t) => {
  const { file } = project(t, { command: ['sh', '-c', `sleep 0.3; echo ${SECRET}`] })
  const script = `
    const { parentPort, workerData: file } = require('node:worker_threads')
    const { activate, Config, ConfigError } = require('flowgate')
    const config = Config.loadSync(file)
    try { Config.fromYaml('- a') } catch (error) { parentPort.postMessage(error instanceof ConfigError) }
    activate(config, 'a').then(({ profile }) => parentPort.postMessage(profile))
  `
  const start = () => new Worker(script, { eval: true, workerData: file })
  const outcomes = (worker) =>
    new Promise((resolve, reject) => {
      const messages = []
      worker.on('message', (message) => messages.push(message)).on('error', reject).on('exit', () => resolve(messages))
    })
  const ended = start()
  const cut = outcomes(ended)
  ended.once('message', () => ended.terminate())
  const whole = await Promise.all([start(), start(), start()].map(outcomes))
  assert.deepEqual(whole, [[true, 'a'], [true, 'a'], [true, 'a']])
  assert.deepEqual(await cut, [true])
})
