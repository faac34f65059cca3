// Leases: who sends, how it went, when to try again, and what the network says by an error.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'

import { AccountsError, classify, ClassifyRules, Lease, NoAccountError, Pool } from 'flowgate'

const vectors = JSON.parse(readFileSync(new URL('../../flowgate-core/testdata/accounts_vectors.json', import.meta.url), 'utf8'))

/** Accounts by id; what a test sees does not depend on chance. */
const pool = (ids, settings = {}) =>
  new Pool(
    ids.map((id) => ({ id, provider: 'openai' })),
    { settings: { jitter: false, strategy: 'fill_first', ...settings } },
  )

for (const { name, provider, status, headers, body, transport, ...expected } of vectors) {
  test(`classify: ${name}`, () => {
    const { cooldown_ms: cooldownMs, ...meaning } = expected
    const said = { status, headers, transport, now: 1_700_000_000_000 }
    for (const text of [body, Buffer.from(body)]) {
      assert.deepEqual(classify(provider, { ...said, body: text }), { ...meaning, cooldownMs })
    }
    const sets = [new Map(Object.entries(headers)), new Headers(headers), Object.entries(headers)]
    for (const set of sets) assert.equal(classify(provider, { ...said, body, headers: set }).class, meaning.class)
  })
}

test('rules come first, and a bad one says where', () => {
  const rules = new ClassifyRules([{ status: [418], class: 'overloaded', cooldown_ms: 5 }])
  assert.deepEqual(classify('any', { status: 418, rules }), { class: 'overloaded', scope: 'provider', action: 'next', cooldownMs: 5 })
  assert.throws(() => new ClassifyRules([{ stats: [418] }]), (error) => error instanceof AccountsError && /stats/.test(error.message))
  assert.throws(() => new ClassifyRules([{ matches: '(' }]), { code: 'accounts.bad_pattern' })
})

test('what cannot be used is refused and not shown', () => {
  assert.throws(() => new Pool([{ id: 'a', weigth: 1 }]), { name: 'AccountsError', code: 'accounts.invalid', message: /weigth/ })
  assert.throws(() => new Pool([{ id: 'a' }, { id: 'a' }]), { message: 'accounts[1]: `a` is there twice' })
  assert.throws(() => new Pool([], { settings: { strategy: 'luck' } }), { code: 'accounts.invalid' })
  for (const state of ['', '{}']) assert.throws(() => new Pool([], { state }), AccountsError)
  const error = { code: 'ERR_INVALID_ARG_TYPE', message: '`body` must be a string or a Uint8Array' }
  assert.throws(() => classify('x', { status: 200, body: ['sk-secret'] }), error)
  assert.throws(() => classify('x', { status: 'a' }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => classify('x', { status: 1e9 }), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => classify('x', { transport: 'pigeon' }), AccountsError)
  assert.throws(() => new Lease(), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('a refused account rests, and another serves', async () => {
  const accounts = pool(['a', 'b'])
  const lease = await accounts.lease({ model: 'm' })
  const verdict = lease.report(429, { 'Retry-After': '20' }, '')
  assert.deepEqual([verdict.account, verdict.class, verdict.action, verdict.served], ['a', 'rate', 'next', false])
  assert.ok(Math.abs(verdict.until - Date.now() - 20_000) < 2_000)
  assert.equal(lease.verdict, verdict)
  const account = await accounts.lease({ model: 'm' }, (lease) => {
    assert.equal(lease.report(200, new Headers(), new Uint8Array(), { tokens: 12 }).served, true)
    return lease.account
  })
  assert.equal(account, 'b')
  const [resting] = accounts.explain({ model: 'm' })
  assert.deepEqual([resting.id, resting.standing, resting.why, resting.class], ['a', 'waiting', 'cooldown', 'rate'])
  const [event, ...more] = accounts.drainEvents()
  assert.deepEqual([event.event, event.account, event.class, more], ['cooled', 'a', 'rate', []])
})

test('the end of a lease is a report, and only the first counts', async () => {
  const accounts = pool(['a'])
  {
    const lease = await accounts.lease()
    assert.equal(accounts.inflight, 1)
    lease[Symbol.dispose]()
    assert.equal(accounts.inflight, 0)
    assert.throws(() => lease.report(200), /reported before/)
    lease.release()
  }
  await assert.rejects(accounts.lease({}, () => { throw new RangeError('mine') }), RangeError)
  assert.equal(accounts.explain()[0].standing, 'eligible')
  const reset = Object.assign(new Error(), { code: 'ECONNRESET' })
  await assert.rejects(accounts.lease({}, () => Promise.reject(reset)), reset)
  assert.equal(accounts.drainEvents().length, 1)
})

test('a session stays, accounts come and go, and a snapshot continues', async () => {
  const accounts = pool(['a', 'b', 'c'], { strategy: 'round_robin' })
  const seen = new Set()
  for (let n = 0; n < 6; n++) await accounts.lease({ session: 'chat' }, (lease) => seen.add(lease.account) && lease.report(200))
  assert.equal(seen.size, 1)
  assert.equal(accounts.remove('c') && !accounts.remove('c') && accounts.setEnabled('a', false), true)
  accounts.upsert({ id: 'd', provider: 'openai' })
  assert.deepEqual(accounts.accounts, ['a', 'b', 'd'])
  const state = accounts.snapshot()
  const again = new Pool([{ id: 'a', enabled: true }, { id: 'e' }], { state })
  assert.deepEqual(again.accounts.sort(), ['a', 'e'])
})

test('headers of a stream count before its end', async () => {
  const accounts = pool(['a'])
  const lease = await accounts.lease()
  lease.onHeaders(200, { 'x-ratelimit-limit-requests': '60', 'x-ratelimit-remaining-requests': '7' })
  assert.equal(accounts.explain()[0].requests.limit, 60)
  lease.report(200)
})

test('a lease waits for a report, beside others', async () => {
  const accounts = new Pool([{ id: 'a', max_inflight: 2 }])
  let most = 0
  const send = () =>
    accounts.lease({}, async (lease) => {
      most = Math.max(most, accounts.inflight)
      await turn()
      lease.report(200)
    })
  await Promise.all(Array.from({ length: 20 }, send))
  assert.deepEqual([most, accounts.inflight], [2, 0])
})

test('a lease gives up at its timeout, at once where time does not help, and when it is told to', async () => {
  const accounts = new Pool([{ id: 'a', max_inflight: 1 }])
  const held = await accounts.lease()
  await assert.rejects(accounts.lease({ timeoutMs: 20 }), { name: 'NoAccountError', code: 'accounts.none', why: 'concurrency' })
  const controller = new AbortController()
  const waiting = accounts.lease({ signal: controller.signal })
  controller.abort(new Error('changed my mind'))
  await assert.rejects(waiting, /changed my mind/)
  held.report(429, { 'retry-after': '3600' })
  await assert.rejects(accounts.lease({ timeoutMs: 60_000 }), (error) => {
    return error instanceof NoAccountError && error.why === 'cooldown' && error.retryAfterMs > 60_000
  })
  await assert.rejects(new Pool().lease(), { why: 'empty', until: undefined })
})

test('another account is tried, until the request is served', async () => {
  const seen = []
  const statuses = [429, 500, 200]
  const answer = await pool(['a', 'b', 'c']).attempts({ model: 'm' }, (lease) => {
    seen.push(lease.account)
    const status = statuses.shift()
    lease.report(status, { 'retry-after': '60' })
    return status
  })
  assert.deepEqual([answer, seen], [200, ['a', 'b', 'c']])
})

test('what is wrong with the request is not tried again, nor is what nobody can serve', async () => {
  let sent = 0
  const send = (status, headers, body) => (lease) => (sent++, lease.report(status, headers, body), status)
  const fault = send(400, {}, '{"error": {"type": "invalid_request_error"}}')
  assert.equal(await pool(['a', 'b']).attempts({}, fault), 400)
  assert.equal(await pool(['a']).attempts({ timeoutMs: 1_000 }, send(429, { 'retry-after': '600' })), 429)
  assert.equal(sent, 2)
  await assert.rejects(new Pool().attempts({}, () => assert.fail('there is nobody')), NoAccountError)
})

test('an error of the network is no end while there is hope', async () => {
  const refused = Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) })
  const seen = []
  const answer = await pool(['a', 'b']).attempts({}, (lease) => {
    seen.push(lease.account)
    if (seen.length === 1) throw refused
    lease.report(200)
    return 'served'
  })
  assert.deepEqual([answer, seen], ['served', ['a', 'b']])
  await assert.rejects(pool(['a']).attempts({ timeoutMs: 10 }, () => Promise.reject(refused)), refused)
  await assert.rejects(pool(['a', 'b']).attempts({}, () => { throw new RangeError('mine') }), RangeError)
})

test('what fetch throws is known for what it is', async () => {
  const server = createServer((request) => request.socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}/`
  const accounts = pool(['a', 'b'], { retry: { max_attempts: 2 } })
  await assert.rejects(accounts.attempts({ timeoutMs: 5_000 }, () => fetch(url)), /fetch failed/)
  assert.equal(accounts.drainEvents().filter(({ event, class: kind }) => event === 'cooled' && kind === 'network').length, 2)
  server.close()
  await once(server, 'close')
  const closed = pool(['a'], { retry: { max_attempts: 1 } })
  await assert.rejects(closed.attempts({}, () => fetch(url)), /fetch failed/)
  assert.equal(closed.drainEvents()[0].class, 'network')
})

test('a credential is refreshed once', async () => {
  const keys = { a: 'old' }
  const refreshed = []
  const refresh = async (id) => {
    refreshed.push(id)
    keys[id] = 'new'
    return true
  }
  const answer = await pool(['a']).attempts({ refresh }, (lease) => {
    const status = keys[lease.account] === 'new' ? 200 : 401
    lease.report(status)
    return status
  })
  assert.deepEqual([answer, refreshed], [200, ['a']])
})
