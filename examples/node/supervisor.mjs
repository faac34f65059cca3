// Keeps services up from a program of one's own, and tells what becomes of them:
//
//   node flowgate-node/build.mjs && node examples/node/supervisor.mjs
//
// One service is killed from outside, and is back before anybody asks.
// In a project of your own: import { Supervisor } from 'flowgate'

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Supervisor } from '../../flowgate-node/index.mjs'

const command = { args: [process.execPath, '-e', 'console.log("ready"); setInterval(() => {}, 1000)'] }
const readiness = { log: 'ready' }
const services = {
  queue: { command, readiness },
  worker: { command, readiness, restart: { backoff: { initial: '50ms' } }, depends_on: ['queue'] },
}

const directory = mkdtempSync(join(tmpdir(), 'flowgate-'))
const supervisor = await Supervisor.open(services, { runtimeDir: directory })
try {
  const events = supervisor.events()
  const [, worker] = await supervisor.start([], { timeoutMs: 30_000 })
  process.kill(worker.pid, 'SIGKILL')
  let killed = false
  for await (const { ts, service, event } of events) {
    console.log(ts, service, event)
    killed ||= event === 'service.exited'
    if (killed && event === 'service.ready') break
  }
  for (const { name, public: state, pid, restarts } of await supervisor.status()) {
    assert.equal(state, 'running')
    console.log(`${name}: ${state}, process ${pid}, restarts ${restarts}`)
  }
} finally {
  // Everything goes down in order: the worker first.
  await supervisor.close()
  rmSync(directory, { recursive: true })
}
