// An agent in a loop: it thinks with accounts from a pool, and does only what the guard lets it.
//
//   node flowgate-node/build.mjs && node examples/node/agent-loop.mjs
//
// A supervisor in this program keeps `flowgate dev provider` up, which answers as OpenAI does, so that no account is
// needed. Of the three keys one is revoked and one is soon used up; no turn is lost by that.
// In a project of your own: import { DeniedError, Guard, Pool, Supervisor } from 'flowgate'

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { DeniedError, Guard, Pool, Supervisor } from '../../flowgate-node/index.mjs'

const KEYS = { gone: 'sk-gone', spent: 'sk-spent', fresh: 'sk-fresh' }
const SCRIPT = `
limits: { requests_per_minute: 600 }
keys:
  - { key: sk-fresh }
  - { key: sk-spent, limits: { requests_per_minute: 2 } }
  - { key: sk-gone, state: revoked }
`
/** What the model would ask for, one turn after another. */
const WISHES = ['echo looking around', 'rm -rf ~', "echo 'rm -rf / is a text here'", 'git push --force', 'echo done']
/** `npx flowgate`, from this repository. */
const FLOWGATE = fileURLToPath(new URL('../../flowgate-node/bin/flowgate.cjs', import.meta.url))

const pool = new Pool(
  Object.keys(KEYS).map((id, tier) => ({ id, provider: 'openai', tier })),
  { settings: { strategy: 'fill_first' } },
)
const guard = new Guard()

/** One turn of the model, by whichever account can serve it. */
async function think(url, session, content) {
  const answer = await pool.attempts({ model: 'gpt-5', session, timeoutMs: 30_000 }, async (lease) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEYS[lease.account]}` },
      body: JSON.stringify({ model: 'gpt-5', messages: [{ role: 'user', content }] }),
      signal: AbortSignal.timeout(10_000),
    })
    const body = await response.text()
    const verdict = lease.report(response.status, response.headers, body)
    if (!verdict.served) console.log(`  (${lease.account}: ${response.status}, ${verdict.class}; then: ${verdict.action})`)
    return { status: response.status, body }
  })
  assert.equal(answer.status, 200, answer.body)
  return JSON.parse(answer.body).choices[0].message.content
}

/** Runs what the model wants, or tells it why not and what to do instead. */
async function act(command) {
  try {
    return (await guard.exec(command)).stdout.trim()
  } catch (error) {
    if (!(error instanceof DeniedError)) throw error
    return error.message
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

const directory = mkdtempSync(join(tmpdir(), 'flowgate-'))
const script = join(directory, 'provider.yaml')
writeFileSync(script, SCRIPT)
const port = await freePort()
const provider = {
  command: { args: [process.execPath, FLOWGATE, 'dev', 'provider', '--script', script, '--port', '{port}'] },
  port,
  readiness: { http: '/health' },
}
const supervisor = await Supervisor.open({ provider }, { runtimeDir: join(directory, 'run') })
try {
  const [status] = await supervisor.start([], { timeoutMs: 30_000 })
  assert.equal(status.public, 'running', status.lastError)
  let seen = 'hello'
  for (const wish of WISHES) {
    console.log(`${await think(`http://127.0.0.1:${port}/v1/chat/completions`, 'thread-1', seen)} It wants: ${wish}`)
    seen = await act(wish)
    console.log(`  -> ${seen}`)
  }
} finally {
  await supervisor.close()
  rmSync(directory, { recursive: true })
}
for (const { id, standing, why } of pool.explain({ model: 'gpt-5' })) console.log(`${id}: ${standing}, ${why ?? 'well'}`)
