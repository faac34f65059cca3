// Services as real processes, supervised from Node.

import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

import { Config, ConfigError, SuperviseError, Supervisor, SupervisorClient } from 'flowgate'

const skip = process.platform !== 'linux'
const index = fileURLToPath(new URL('../index.cjs', import.meta.url))

/** A service that says when it is ready. */
const READY = { command: { args: ['sh', '-c', 'echo ready; exec sleep 100'] }, readiness: { log: 'ready' } }
const PLAIN = 'config_version: 2\nservices:\n  a: {command: {args: [sleep, "100"]}, readiness: {alive: 1ms}}\n'

const isThere = (pid) => existsSync(`/proc/${pid}`)

function directory(t) {
  const path = mkdtempSync(join(tmpdir(), 'flowgate-'))
  t.after(async () => {
    for (const supervisor of opened.splice(0)) await supervisor.close()
    rmSync(path, { recursive: true })
  })
  return path
}

/** What is closed after the test. */
const opened = []

async function open(t, services, runtimeDir = directory(t)) {
  const supervisor = await Supervisor.open(services, { runtimeDir })
  opened.push(supervisor)
  return supervisor
}

test('services come up, are replaced and go down', { skip }, async (t) => {
  const runtimeDir = directory(t)
  const supervisor = await open(t, { a: READY, b: { ...READY, depends_on: ['a'] } }, runtimeDir)
  assert.deepEqual((await supervisor.status()).map((status) => status.public), ['stopped', 'stopped'])
  const [a, b] = await supervisor.start()
  assert.deepEqual([a.name, a.public, a.state, a.want, a.restarts, a.lastExit], ['a', 'running', 'ready', 'up', 0, null])
  assert.ok(isThere(a.pid) && isThere(b.pid) && a.rssBytes > 0)
  const [again] = await supervisor.restart('b')
  assert.notEqual(again.pid, b.pid)
  const [stopped] = await supervisor.stop(['b'])
  assert.deepEqual([stopped.public, stopped.pid, stopped.lastExit], ['stopped', null, { signal: 15 }])
  assert.equal(readFileSync(supervisor.logFile('a'), 'utf8'), 'ready\n')
  assert.equal(supervisor.runtimeDir, runtimeDir)
  await supervisor.close()
  assert.ok(!isThere(a.pid))
  await assert.rejects(supervisor.status(), SuperviseError)
  await supervisor.close()
})

test('one that is killed comes back, and the events tell', { skip }, async (t) => {
  const supervisor = await open(t, { a: READY })
  const events = supervisor.events()
  const [before] = await supervisor.start()
  process.kill(before.pid, 'SIGKILL')
  const seen = []
  for await (const event of events) {
    seen.push(event)
    if (event.event === 'service.ready' && event.data.generation > before.generation) break
  }
  const [after] = await supervisor.status()
  assert.deepEqual([after.restarts, after.public], [1, 'running'])
  const exited = seen.find(({ event }) => event === 'service.exited')
  assert.deepEqual([exited.service, exited.level, exited.data.status], ['a', 'warn', { signal: 9 }])
  // `break` has closed it.
  assert.deepEqual(await events.next(), { done: true, value: undefined })
})

test('events end with the supervisor, and with a signal', { skip }, async (t) => {
  const supervisor = await open(t, { a: READY })
  const controller = new AbortController()
  const aborted = supervisor.events({ signal: controller.signal })
  const all = supervisor.events()
  const waiting = aborted.next().then(() => aborted.next()).then(() => aborted.next())
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(waiting, reason)
  await supervisor.start()
  await supervisor.shutdown()
  const names = []
  for await (const { event } of all) names.push(event)
  assert.equal(names.at(-1), 'service.state')
  await supervisor.finished
})

test('a wait may be given up, or have a limit', { skip }, async (t) => {
  const slow = { command: { args: ['sleep', '100'] }, readiness: { log: 'never' } }
  const supervisor = await open(t, { a: slow })
  await assert.rejects(supervisor.start('a', { timeoutMs: 50 }), { name: 'SuperviseError', code: 'control.timeout' })
  await assert.rejects(supervisor.start('a', { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  assert.equal((await supervisor.status())[0].public, 'starting')
  const runtimeDir = directory(t)
  await assert.rejects(Supervisor.open({ a: READY }, { runtimeDir, signal: AbortSignal.abort() }), { name: 'AbortError' })
  const controller = new AbortController()
  const opening = Supervisor.open({ a: READY }, { runtimeDir, signal: controller.signal })
  controller.abort()
  await assert.rejects(opening, { name: 'AbortError' })
  // What had begun is ended again: the directory is free soon.
  for (;;) {
    const again = await Supervisor.open({ a: READY }, { runtimeDir }).catch((error) => assert.equal(error.code, 'supervise.locked'))
    if (again) return again.close()
  }
})

test('what cannot be is an error with a code', { skip }, async (t) => {
  const runtimeDir = directory(t)
  const wrong = await Supervisor.open({ a: { prot: 1 } }, { runtimeDir }).catch((error) => error)
  assert.ok(wrong instanceof ConfigError)
  assert.match(wrong.diagnostics[0].path, /^services\.a/)
  await assert.rejects(Supervisor.open({ a: READY }, { runtimeDir, program: process.execPath }), { code: 'supervise.no_shim' })
  await assert.rejects(Supervisor.open({ a: READY }), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(SupervisorClient.open(runtimeDir), { name: 'SuperviseError', code: 'control.not_running' })
  const supervisor = await open(t, { a: READY }, runtimeDir)
  await assert.rejects(Supervisor.open({ a: READY }, { runtimeDir }), { code: 'supervise.locked' })
  await assert.rejects(supervisor.start('c'), { code: 'supervise.unknown_service' })
  await assert.rejects(supervisor.start(3), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(supervisor.apply(), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.deepEqual((await supervisor.replace({ b: ['sleep', '100'] })).map(({ name }) => name), ['b'])
})

test('one that has done its work says so', { skip }, async (t) => {
  const job = (code) => ({ command: { args: ['sh', '-c', `exit ${code}`] }, restart: { policy: 'never' } })
  const supervisor = await open(t, { good: job(0), bad: job(3), on: READY })
  const [bad, good, on] = await supervisor.start()
  assert.deepEqual([bad.completed, good.completed, on.completed], [false, true, null])
})

test('the services of a configuration change with its file', { skip }, async (t) => {
  const file = join(directory(t), 'flowgate.yaml')
  writeFileSync(file, PLAIN)
  const supervisor = await Supervisor.open(await Config.load(file))
  opened.push(supervisor)
  const [before] = await supervisor.start()
  writeFileSync(file, PLAIN + PLAIN.split('\n')[2].replace('a:', 'b:') + '\n')
  const planned = await supervisor.apply({ dryRun: true })
  assert.deepEqual(planned, { outcome: 'planned', plan: [{ service: 'b', action: 'start', because: [] }], why: undefined, left: undefined })
  assert.equal((await supervisor.apply()).outcome, 'committed')
  const [after, more] = await supervisor.status()
  assert.deepEqual([after.pid, more.public], [before.pid, 'running'])
  writeFileSync(file, 'config_version: 2\nservices: [\n')
  const failed = await supervisor.apply()
  assert.equal(failed.outcome, 'rolled_back')
  assert.match(failed.why, /flowgate\.yaml/)
})

test('one that runs in another process is spoken to', { skip }, async (t) => {
  const folder = directory(t)
  writeFileSync(join(folder, 'flowgate.yaml'), PLAIN)
  const program = [fileURLToPath(new URL('../bin/flowgate.cjs', import.meta.url)), '--config', join(folder, 'flowgate.yaml')]
  execFileSync(process.execPath, [...program, 'up', '--detach'], { stdio: 'ignore' })
  try {
    const client = await SupervisorClient.open(await Config.load(join(folder, 'flowgate.yaml')))
    const [status] = await client.status()
    assert.deepEqual([status.name, status.public], ['a', 'running'])
    assert.deepEqual((await client.apply({ dryRun: true })).plan, [])
    const events = client.events()
    await client.restart()
    assert.equal((await events.next()).value.service, 'a')
    await client.close()
    await assert.rejects(client.status(), SuperviseError)
  } finally {
    execFileSync(process.execPath, [...program, 'down'], { stdio: 'ignore' })
  }
})

const program = (body) => `
  const { Supervisor } = require(${JSON.stringify(index)})
  const { workerData, parentPort } = require('node:worker_threads')
  const services = { a: { command: { args: ['sh', '-c', "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done"] }, readiness: { log: 'ready' } } }
  Supervisor.open(services, { runtimeDir: workerData ?? process.argv[1] }).then(async (supervisor) => {
    const [{ pid }] = await supervisor.start()
    parentPort ? parentPort.postMessage(pid) : console.log(pid)
    ${body}
  })`

test('however the process ends, its services end in order', { skip }, async (t) => {
  for (const body of ['process.exit(3)', "setImmediate(() => { throw new Error('not caught') })", 'await supervisor.close()']) {
    const runtimeDir = directory(t)
    const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', program(body), runtimeDir], { encoding: 'utf8', timeout: 60_000 })
    assert.equal(status, body.includes('exit(3)') ? 3 : body.includes('close') ? 0 : 1, stderr)
    assert.ok(!isThere(stdout.trim()), body)
    assert.match(readFileSync(join(runtimeDir, 'logs', 'a.log'), 'utf8'), /bye/, body)
  }
})

test('a process stays while its supervisor runs, and a signal ends both', { skip }, async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const runtimeDir = directory(t)
    const child = spawn(process.execPath, ['-e', program(''), runtimeDir], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [pid] = await once(createInterface(child.stdout), 'line')
    child.kill(signal)
    const [, by] = await once(child, 'exit')
    assert.equal(by, signal)
    assert.ok(!isThere(pid))
    assert.match(readFileSync(join(runtimeDir, 'logs', 'a.log'), 'utf8'), /bye/)
  }
})

test('a worker thread has one of its own, which ends with it', { skip }, async (t) => {
  for (const end of [(worker) => worker.terminate(), (worker) => worker.postMessage('end')]) {
    const runtimeDir = directory(t)
    const body = "parentPort.on('message', () => process.exit())"
    const worker = new Worker(program(body), { eval: true, workerData: runtimeDir })
    const [pid] = await once(worker, 'message')
    assert.ok(isThere(pid))
    const ended = once(worker, 'exit')
    end(worker)
    await ended
    assert.ok(!isThere(pid))
    // The directory is free.
    await (await Supervisor.open({ a: READY }, { runtimeDir })).close()
  }
})

test('what a killed process left is taken over', { skip }, async (t) => {
  const runtimeDir = directory(t)
  const killed = "process.kill(process.pid, 'SIGKILL')"
  const { stdout } = spawnSync(process.execPath, ['-e', program(killed), runtimeDir], { encoding: 'utf8', timeout: 60_000 })
  const pid = Number(stdout)
  assert.ok(isThere(pid))
  const service = { command: { args: ['sh', '-c', "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done"] }, readiness: { log: 'ready' } }
  const supervisor = await open(t, { a: service }, runtimeDir)
  const [status] = await supervisor.start()
  assert.equal(status.pid, pid)
})
