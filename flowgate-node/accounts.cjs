'use strict'

const { setTimeout: sleep } = require('node:timers/promises')

const { check, string, whole, wrongType } = require('./arguments.cjs')
const { attempt, NoAccountError } = require('./errors.cjs')
const native = require('./native.cjs')
const { settle } = require('./promises.cjs')

/** How to get at the native half of a configuration; `index.cjs` says so. */
const configs = { nativeOf: () => undefined }

/** The longest wait of a timer, and after which somebody who waits looks again. */
const LONGEST_PAUSE = 60_000

// What only this file may do with an object.
let failed
let nativeRules
let whenAgain

class ClassifyRules {
  #native

  constructor(rules) {
    if (!Array.isArray(rules)) throw wrongType('`rules` must be an array')
    this.#native = attempt(() => native.ClassifyRules.create(JSON.stringify(rules)))
  }

  static {
    nativeRules = (rules) => {
      if (rules === undefined) return undefined
      if (!(rules instanceof ClassifyRules)) throw wrongType('`rules` must be ClassifyRules')
      return rules.#native
    }
  }
}

function classify(provider, { rules, now = Date.now(), ...answer } = {}) {
  string('provider', provider)
  return attempt(() => native.classify(provider, said(answer), nativeRules(rules), now))
}

/** What may end at any time, whatever was promised. */
const ANYTIME = ['concurrency', 'probe', 'affinity']

class Pool {
  #native
  /** Whether the server says whose turn it is, which takes a moment. */
  #strict = false
  /** Whom to wake when an account may be free again. */
  #waiting = new Set()

  constructor(accounts = [], { settings = {}, rules, state } = {}) {
    if (accounts instanceof native.Pool) {
      this.#native = accounts
      return
    }
    if (!Array.isArray(accounts)) throw wrongType('`accounts` must be an array')
    if (state !== undefined) string('state', state)
    const [specs, how] = [JSON.stringify(accounts), JSON.stringify(settings)]
    this.#native = attempt(() => native.Pool.create(specs, how, nativeRules(rules), state, Date.now()))
  }

  static async fromConfig(config, { state } = {}) {
    const handle = configs.nativeOf(config)
    if (handle === undefined) throw wrongType('`config` must be a Config')
    if (state !== undefined) string('state', state)
    const pool = new Pool(await settle(() => native.Pool.ofConfig(handle, state, Date.now())))
    pool.#strict = pool.#native.isStrict()
    // Weak, so that a pool that nobody has any more is not shared any more.
    const weak = new WeakRef(pool)
    pool.#native.onChange(() => weak.deref()?.#wake())
    return pool
  }

  get shared() {
    const status = this.#native.shared()
    if (typeof status !== 'string') return undefined
    const { round_trip_us: roundTripUs, ...fields } = JSON.parse(status)
    return { ...fields, roundTripUs }
  }

  async settled() {
    await settle(() => this.#native.settle())
    return this.shared
  }

  async leave() {
    await settle(() => this.#native.leave())
  }

  async lease(options, use) {
    const request = new Request(options)
    const lease = await this.#take(request)
    if (use === undefined) return lease
    check('use', use, 'function')
    try {
      return await use(lease)
    } catch (error) {
      failed(lease, error)
      throw error
    } finally {
      lease.release()
    }
  }

  async attempts(options, send) {
    check('send', send, 'function')
    const request = new Request(options)
    const { refresh } = options ?? {}
    if (refresh !== undefined) check('refresh', refresh, 'function')
    const retries = native.Attempt.create(Date.now(), request.deadline)
    let last
    for (;;) {
      let lease
      try {
        lease = await this.#take(request, retries)
      } catch (none) {
        // The caller gets the last answer, or the last failure.
        if (!last || !(none instanceof NoAccountError)) throw none
        return last()
      }
      try {
        const answer = await send(lease)
        last = () => answer
      } catch (error) {
        last = () => {
          throw error
        }
        if (!failed(lease, error)) return last()
      } finally {
        lease.release()
      }
      const again = whenAgain(lease)
      if (again === undefined) return last()
      if (again < 0) {
        if (refresh) await this.#refresh(lease.account, refresh)
      } else {
        await pause(again - Date.now(), request.signal)
      }
    }
  }

  upsert(account) {
    check('account', account, 'object')
    attempt(() => this.#native.upsert(JSON.stringify(account), Date.now()))
    this.#wake()
  }

  remove(id) {
    return this.#native.remove(string('id', id), Date.now())
  }

  setEnabled(id, enabled) {
    const there = this.#native.setEnabled(string('id', id), check('enabled', enabled, 'boolean'), Date.now())
    this.#wake()
    return there
  }

  reset(id) {
    const there = this.#native.reset(string('id', id), Date.now())
    this.#wake()
    return there
  }

  observeUsage(id, body) {
    return this.#native.observeUsage(string('id', id), string('body', body), Date.now())
  }

  get accounts() {
    return this.#native.accounts()
  }

  get inflight() {
    return this.#native.inflight()
  }

  expire() {
    return this.#native.expire(Date.now())
  }

  snapshot() {
    return this.#native.snapshot()
  }

  explain(options) {
    const { model, session, tokens } = new Request(options)
    return JSON.parse(this.#native.explain(model, session, tokens, Date.now())).map(candidate)
  }

  drainEvents() {
    return JSON.parse(this.#native.drainEvents())
  }

  /** Takes an account, waiting for it if need be. */
  async #take(request, retries) {
    request.signal?.throwIfAborted()
    const first = await this.#pick(request, retries)
    if (first instanceof Lease) return first
    const since = Date.now()
    const deadline = request.deadline ?? since + request.timeoutMs
    let wake
    const waiter = () => wake?.()
    this.#waiting.add(waiter)
    try {
      for (;;) {
        // Before the pick, so that nothing that happens meanwhile is missed.
        const woken = new Promise((resolve) => (wake = resolve))
        const answer = await this.#pick(request, retries, since)
        if (answer instanceof Lease) return answer
        const { until, why } = answer
        const now = Date.now()
        // A report may free an account sooner than it is promised, but ends no cooldown.
        const hopeless = until > deadline && !ANYTIME.includes(why)
        if (until === undefined || now >= deadline || hopeless) throw new NoAccountError(why, until)
        await pause(Math.min(until, deadline) - now, request.signal, woken)
      }
    } finally {
      this.#waiting.delete(waiter)
    }
  }

  async #pick({ model, session, tokens, signal }, retries, since) {
    const arguments_ = [model, session, tokens, retries, since, Date.now()]
    const picked = this.#strict
      ? await settle(() => this.#native.pickLater(...arguments_))
      : this.#native.pick(...arguments_)
    if (picked.permit === undefined) return picked
    const lease = new Lease(this.#native, () => this.#wake(), picked, retries)
    if (signal?.aborted) {
      lease.release()
      signal.throwIfAborted()
    }
    return lease
  }

  async #refresh(id, refresh) {
    const lease = await settle(() => this.#native.refreshBegin(id, Date.now()))
    if (!lease) return
    let done = false
    try {
      done = Boolean(await refresh(id))
    } finally {
      await settle(() => this.#native.refreshEnd(lease, done, Date.now()))
      this.#wake()
    }
  }

  #wake() {
    for (const wake of [...this.#waiting]) wake()
  }
}

class Lease {
  #pool
  #wake
  #permit
  #retries
  /** When to try again; below zero: once the credential is refreshed; nothing: not at all. */
  #again

  constructor(pool, wake, { permit, account } = {}, retries) {
    if (!(pool instanceof native.Pool)) throw wrongType('a Lease comes from pool.lease(options)')
    this.#pool = pool
    this.#wake = wake
    this.#permit = permit
    this.#retries = retries
    this.account = account
    this.verdict = undefined
  }

  static {
    whenAgain = (lease) => lease.#again
    // Reports an exception of the network; says whether it was one that nobody had reported.
    failed = (lease, error) => {
      if (lease.#permit === undefined) return false
      const transport = transportOf(error)
      lease.report(undefined, undefined, undefined, { transport })
      return transport !== 'cancelled'
    }
  }

  report(status, headers, body, { transport, tokens } = {}) {
    if (this.#permit === undefined) throw new Error('the lease was reported before')
    const answer = said({ status, headers, body, transport })
    const [permit, now] = [this.#permit, Date.now()]
    if (tokens !== undefined) whole('tokens', tokens)
    if (this.#retries) {
      const [verdict, again] = attempt(() => this.#pool.reportAttempt(permit, answer, tokens, this.#retries, now))
      this.verdict = verdict
      this.#again = again ?? undefined
    } else {
      this.verdict = attempt(() => this.#pool.report(permit, answer, tokens, now))
    }
    this.#permit = undefined
    this.#wake()
    return this.verdict
  }

  onHeaders(status, headers) {
    if (this.#permit !== undefined) this.#pool.onHeaders(this.#permit, said({ status, headers }), Date.now())
  }

  release() {
    if (this.#permit !== undefined) this.report(undefined, undefined, undefined, { transport: 'cancelled' })
  }

  [Symbol.dispose]() {
    this.release()
  }
}

/** What is asked for. */
class Request {
  constructor({ model = '', session, tokens = 0, timeoutMs = 30_000, signal } = {}) {
    this.model = string('model', model)
    this.session = session === undefined ? undefined : string('session', session)
    this.tokens = whole('tokens', tokens)
    this.timeoutMs = check('timeoutMs', timeoutMs, 'number')
    if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('`signal` must be an AbortSignal')
    this.signal = signal
    const deadline = Date.now() + timeoutMs
    this.deadline = Number.isFinite(deadline) ? deadline : undefined
  }
}

/** Waits for so many milliseconds, or until it is woken; rejects if the signal says so. */
async function pause(milliseconds, signal, woken) {
  if (milliseconds <= 0) return
  const over = new AbortController()
  const signals = signal ? [over.signal, signal] : [over.signal]
  const slept = sleep(Math.min(milliseconds, LONGEST_PAUSE), undefined, { signal: AbortSignal.any(signals) })
  try {
    await (woken ? Promise.race([slept, woken]) : slept)
  } catch (error) {
    throw signal?.aborted ? signal.reason : error
  } finally {
    over.abort()
    slept.catch(() => {})
  }
}

/** An answer, as the native half wants it. */
function said({ status, headers, body, transport }) {
  if (status !== undefined && status !== null) whole('status', status, 0xffff)
  if (transport !== undefined && transport !== null) string('transport', transport)
  const bytes = body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array
  if (!bytes) throw wrongType('`body` must be a string or a Uint8Array')
  return {
    status: status ?? undefined,
    headers: pairs(headers),
    body: body ?? undefined,
    transport: transport ?? undefined,
  }
}

/** Pairs of a `Headers`, a `Map`, an object whose values may be arrays, or of pairs. */
function pairs(headers) {
  if (headers === undefined || headers === null) return []
  check('headers', headers, 'object')
  const entries = typeof headers[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers)
  return entries.flatMap((entry) => {
    if (!Array.isArray(entry) || entry.length !== 2) throw wrongType('`headers` must be pairs')
    const [name, value] = entry
    if (value === undefined || value === null) return []
    return (Array.isArray(value) ? value : [value]).map((one) => [string('headers', name), String(one)])
  })
}

/** What the errors of `fetch`, undici, axios and Node's own sockets say about an exchange. */
const TRANSPORTS = {
  timeout: ['ETIMEDOUT', 'ERR_SOCKET_CONNECTION_TIMEOUT', 'TimeoutError', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT'],
  reset: ['ECONNABORTED', 'ECONNRESET', 'EPIPE'],
  eof: ['HPE_INVALID_EOF_STATE', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'UND_ERR_SOCKET'],
  connect: ['EAI_AGAIN', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'ERR_SSL_WRONG_VERSION_NUMBER'],
}

function transportOf(error) {
  // `fetch` hides what happened in the cause; a cause may be in a circle.
  for (let depth = 0; depth < 5 && error; depth++, error = error.cause) {
    const known = Object.entries(TRANSPORTS)
    const found = known.find(([, names]) => names.includes(error.code) || names.includes(error.name))
    if (found) return found[0]
  }
  return 'cancelled'
}

function candidate({ slot: _, class: reason, max_inflight: maxInflight, ...fields }) {
  return { ...fields, class: reason, maxInflight }
}

module.exports = { classify, ClassifyRules, configs, Lease, Pool }
