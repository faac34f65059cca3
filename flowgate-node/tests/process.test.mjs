// What the package does to the process around it: panics, worker threads, promises that are given up.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

import { activate, Config, STARTER } from 'flowgate'

const native = createRequire(import.meta.url)('../native.cjs')
const sources = fileURLToPath(new URL('../src', import.meta.url))

test('a panic is an error, in a call and on a thread of the pool', { skip: !native.panicNow }, async () => {
  assert.throws(() => native.panicNow(), /panic/)
  await assert.rejects(native.panicLater(), /panic/)
})

test('no panic can leave a function that Node calls', () => {
  const open = []
  for (const file of readdirSync(sources, { recursive: true }).filter((name) => name.endsWith('.rs'))) {
    const source = readFileSync(`${sources}/${file}`, 'utf8')
    for (const [, attribute, name] of source.matchAll(/#\[napi(.*)\]\s+(?:#\[.*\]\s+)*pub fn (\w+)/g)) {
      if (!attribute.includes('catch_unwind')) open.push(`${file}: ${name}`)
    }
  }
  assert.deepEqual(open, [])
})

test('worker threads use it side by side, and end while it is loaded elsewhere', async () => {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Config, Guard } = require(workerData.path)
    const guard = new Guard()
    const verdicts = Array.from({ length: 200 }, () => guard.check('X=/; sudo rm -rf $X', { cwd: '/w', home: '/h' }).rule)
    parentPort.postMessage([new Set(verdicts).size, verdicts[0], Config.fromYaml(workerData.text).profiles.length])`
  const path = fileURLToPath(new URL('../index.cjs', import.meta.url))
  const workers = Array.from({ length: 4 }, async () => {
    const worker = new Worker(code, { eval: true, workerData: { path, text: STARTER } })
    const answer = new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
    const ended = new Promise((resolve) => worker.on('exit', resolve))
    return [await answer, await ended]
  })
  for (const answer of await Promise.all(workers)) assert.deepEqual(answer, [[1, 'core.filesystem:rm-root', 3], 0])
  assert.equal(Config.fromYaml(STARTER).profiles.length, 3)
})

test('a promise may be given up', async () => {
  const reason = new Error('changed my mind')
  await assert.rejects(Config.load('never-opened.yaml', { signal: AbortSignal.abort(reason) }), reason)
  const config = Config.fromYaml(STARTER)
  await assert.rejects(activate(config, 'balanced', { signal: AbortSignal.abort() }), { name: 'AbortError' })

  const controller = new AbortController()
  const loading = Config.load('/dev/null', { signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(loading, reason)
  await assert.rejects(Config.load('x', { signal: {} }), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('a signal that never fires is left as it was found', async () => {
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args) => (listeners++, add(...args))
  signal.removeEventListener = (...args) => (listeners--, remove(...args))
  await assert.rejects(Config.load('/nowhere/flowgate.yaml', { signal }), { code: 'runtime.cannot_read' })
  assert.equal(listeners, 0)
})
