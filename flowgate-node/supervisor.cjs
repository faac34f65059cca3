'use strict'

// Services that stay up: a supervisor in this process, or the way to one that runs already.

const { resolve } = require('node:path')
const { isMainThread } = require('node:worker_threads')

const { check, filePath, string, strings, wrongType } = require('./arguments.cjs')
const { binary } = require('./binary.cjs')
const { attempt, SuperviseError } = require('./errors.cjs')
const native = require('./native.cjs')
const { settle } = require('./promises.cjs')

/** How long a supervisor that does nothing else may take to answer. */
const PROMPT = 5_000

/** The native half of a Config; nothing for anything else. Set by index.cjs, which has the class. */
const configs = { nativeOf: () => undefined }

/** What a supervisor of this process and one of another have in common. */
class Supervising {
  #native
  #file

  constructor(handle, file) {
    if (!native.Supervisor || !(handle instanceof native.Supervisor)) throw wrongType('it comes from open()')
    this.#native = handle
    this.#file = file
  }

  get runtimeDir() {
    return this.#native.dir()
  }

  logFile(service) {
    return this.#native.logFile(string('service', service))
  }

  async start(services, options) {
    return statuses(await this.#about('start', services, options))
  }

  async stop(services, options) {
    return statuses(await this.#about('stop', services, options))
  }

  async restart(services, options) {
    return statuses(await this.#about('restart', services, options))
  }

  async status(options) {
    return statuses(await this.#ask({ do: 'status' }, { timeoutMs: PROMPT, ...options }))
  }

  async apply({ profile = null, dryRun = false, file = this.#file, ...options } = {}) {
    if (file === undefined) throw wrongType('these services came from no configuration file: name one as `file`')
    if (profile !== null) string('profile', profile)
    const request = { do: 'change', file: resolve(filePath(file)), profile, dry_run: check('dryRun', dryRun, 'boolean') }
    const { outcome = 'planned', plan = [], why, left } = await this.#ask(request, options)
    return { outcome, plan, why: why ?? undefined, left: left ?? undefined }
  }

  async shutdown({ force = false, ...options } = {}) {
    check('force', force, 'boolean')
    await this.#ask({ do: 'shutdown', force }, { timeoutMs: PROMPT, ...options })
  }

  events(options) {
    return new ServiceEvents(this.#native.follow(), options)
  }

  async [Symbol.asyncDispose]() {
    await this.close()
  }

  #about(what, services = [], options) {
    return this.#ask({ do: what, services: strings('services', typeof services === 'string' ? [services] : services) }, options)
  }

  async #ask(request, { timeoutMs, ...options } = {}) {
    if (timeoutMs !== undefined) check('timeoutMs', timeoutMs, 'number')
    const limit = timeoutMs === undefined || timeoutMs === Infinity ? undefined : timeoutMs
    return JSON.parse(await settle(() => this.#native.ask(JSON.stringify(request), limit), options))
  }
}

// What only this file may do with a supervisor.
let closeNow
let handlesSignals

class SupervisorClient extends Supervising {
  #native

  constructor(handle, file) {
    super(handle, file)
    this.#native = handle
  }

  static async open(where, options) {
    requireLinux()
    const config = configs.nativeOf(where)
    const dir = config ? attempt(() => config.resolve()).document().paths.runtime_dir : resolve(filePath(where))
    const handle = await settle(() => native.Supervisor.connect(dir), options)
    return new SupervisorClient(handle, config?.file() ?? undefined)
  }

  async close() {
    this.#native.close()
  }
}

/** The supervisors of this thread that run. Here, so that none is collected meanwhile. */
const running = new Set()

class Supervisor extends Supervising {
  #native
  #signals
  #finished

  constructor(handle, file, signals) {
    super(handle, file)
    this.#native = handle
    this.#signals = signals
    // As long as this promise is not kept, the process does not end by itself.
    this.#finished = handle.atEnd().then(() => this.#ended())
    running.add(this)
    if (running.size === 1) process.on('exit', closeAll)
    if (signals) listen()
  }

  static async open(services, { runtimeDir, program, handleSignals = true, ...options } = {}) {
    requireLinux()
    const config = configs.nativeOf(services)
    if (config && runtimeDir !== undefined) throw wrongType('a configuration has a runtime directory of its own')
    if (!config && runtimeDir === undefined) throw wrongType('`runtimeDir` must be a directory that the supervisor keeps')
    check('handleSignals', handleSignals, 'boolean')
    const shim = program === undefined ? binary() : resolve(filePath(program))
    const dir = config ? undefined : resolve(filePath(runtimeDir))
    const start = config ? () => native.Supervisor.ofConfig(config, shim) : () => native.Supervisor.ofServices(services, dir, shim)
    let starting
    try {
      const handle = await settle(() => (starting = start()), options)
      return new Supervisor(handle, config?.file() ?? undefined, handleSignals && isMainThread)
    } catch (error) {
      // What has begun goes on: one that was given up meanwhile is ended again.
      starting?.then((handle) => handle.close()).catch(() => {})
      throw error
    }
  }

  get finished() {
    return this.#finished
  }

  async replace(services, options) {
    return statuses(JSON.parse(await settle(() => this.#native.replace(services), options)))
  }

  async close() {
    if (running.has(this)) await this.shutdown().catch(unlessGone)
    await this.#finished
  }

  #ended() {
    running.delete(this)
    if (running.size === 0) process.off('exit', closeAll)
    if (this.#signals) unlisten()
    // Its thread has nothing left to do.
    this.#native.close()
  }

  static {
    closeNow = (supervisor) => supervisor.#native.close()
    handlesSignals = (supervisor) => supervisor.#signals
  }
}

/** The process ends: nothing can be waited for any more but in this call. */
function closeAll() {
  for (const supervisor of running) closeNow(supervisor)
}

const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM']
let asked = 0

function listen() {
  const handling = [...running].filter(handlesSignals)
  if (handling.length === 1) for (const signal of SIGNALS) process.on(signal, interrupted)
}

function unlisten() {
  if ([...running].some(handlesSignals)) return
  asked = 0
  for (const signal of SIGNALS) process.off(signal, interrupted)
}

/** Stops everything in order, the second time at once; then the signal has its usual effect. */
async function interrupted(signal) {
  asked += 1
  const handling = [...running].filter(handlesSignals)
  const force = asked > 1
  await Promise.all(handling.map((supervisor) => supervisor.shutdown({ force }).catch(unlessGone)))
  if (force) return
  await Promise.all(handling.map((supervisor) => supervisor.finished))
  // Somebody else who listens decides what it means.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
}

function unlessGone(error) {
  if (!(error instanceof SuperviseError)) throw error
}

class ServiceEvents {
  #native
  #signal
  #abort

  constructor(handle, { signal } = {}) {
    if (!native.Events || !(handle instanceof native.Events)) throw wrongType('it comes from events()')
    if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('`signal` must be an AbortSignal')
    this.#native = handle
    this.#signal = signal
    if (signal) {
      this.#abort = () => handle.close()
      if (signal.aborted) this.#abort()
      else signal.addEventListener('abort', this.#abort, { once: true })
    }
  }

  async next() {
    const event = await settle(() => this.#native.next())
    this.#signal?.throwIfAborted()
    if (event === null) return { done: true, value: undefined }
    const { subject, ...fields } = JSON.parse(event)
    return { done: false, value: { ...fields, service: subject } }
  }

  async return(value) {
    this.#native.close()
    this.#signal?.removeEventListener('abort', this.#abort)
    return { done: true, value }
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async [Symbol.asyncDispose]() {
    await this.return()
  }
}

function requireLinux() {
  if (native.Supervisor) return
  throw new SuperviseError(
    `services are supervised on Linux alone, and this is ${process.platform}; run the program in a Linux container or in WSL 2`,
    { code: 'supervise.unsupported' },
  )
}

function statuses({ services }) {
  return services.map(status)
}

function status({ process: id, last_exit: lastExit, last_error: lastError, since: _, ...fields }) {
  const { name, public: public_, state, want, generation, port, restarts, completed = null, ...more } = fields
  const { uptime_ms: uptimeMs, rss_bytes: rssBytes, cpu_ms: cpuMs, log_bytes_lost: logBytesLost, ...detail } = more
  const known = { name, public: public_, state, want, generation, pid: id?.pid ?? null, port, restarts }
  return { ...known, lastExit, completed, lastError, uptimeMs, rssBytes, cpuMs, logBytesLost, detail }
}

module.exports = Object.assign(configs, { ServiceEvents, Supervisor, SupervisorClient })
