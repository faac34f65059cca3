// Sends requests through a pool of accounts with `fetch`, and tries again where that helps:
//
//   node flowgate-node/build.mjs && node examples/node/pool.mjs
//
// The provider is a server of our own that refuses the first key, so that no account is needed.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'

import { Pool } from '../../flowgate-node/index.mjs'

const KEYS = { 'work-1': 'sk-spent', 'work-2': 'sk-fresh' }

/** One request, by whichever account can serve it. A conversation stays with its account. */
function complete(pool, url, input, session) {
  return pool.attempts({ model: 'gpt-5', session, timeoutMs: 20_000 }, async (lease) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEYS[lease.account]}` },
      body: JSON.stringify({ model: 'gpt-5', input }),
      signal: AbortSignal.timeout(10_000),
    })
    const body = await response.text()
    const verdict = lease.report(response.status, response.headers, body)
    console.log(`${lease.account}: ${response.status}, ${verdict.class}`)
    return { status: response.status, body }
  })
}

const provider = createServer((request, response) => {
  const spent = request.headers.authorization.includes('spent')
  response.writeHead(spent ? 429 : 200, spent ? { 'retry-after': '120' } : {})
  response.end(spent ? '{"error": {"type": "tokens"}}' : '{"output": "hello"}')
})
await new Promise((resolve) => provider.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${provider.address().port}/v1/responses`

const accounts = Object.keys(KEYS).map((id) => ({ id, provider: 'openai' }))
const pool = new Pool(accounts, { settings: { strategy: 'fill_first' } })
assert.equal((await complete(pool, url, 'hi', 'chat-1')).body, '{"output": "hello"}')
assert.equal((await complete(pool, url, 'hi again', 'chat-1')).status, 200)
for (const event of pool.drainEvents()) console.log(event.event, event.account, event.class)
provider.close()
provider.closeAllConnections()
