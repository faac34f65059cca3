// Pools that several processes share, through a real server.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { AccountsError, Config, Pool } from 'flowgate'

const directories = (process.env.PATH ?? '').split(delimiter)
const program = ['valkey-server', 'redis-server']
  .flatMap((name) => directories.map((directory) => join(directory, name)))
  .find((path) => existsSync(path))

async function freePort() {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address()
  taken.close()
  await once(taken, 'close')
  return port
}

async function reachable(port) {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function until(holds) {
  for (const end = Date.now() + 20_000; !(await holds()); await sleep(2)) assert.ok(Date.now() < end)
}

const config = (port, name, mode = 'local') =>
  Config.fromYaml(`
config_version: 2
accounts:
  strategy: fill_first
  pool: [{id: a, provider: openai}, {id: b, provider: openai}]
  shared: {url: "redis://127.0.0.1:${port}", name: ${name}, mode: ${mode}, timeout: 5s}
`)

test('a pool of a configuration that is not shared', async () => {
  const text = 'config_version: 2\naccounts: {pool: [{id: a, provider: x}], rules: [{status: [418], class: quota}]}\n'
  const pool = await Pool.fromConfig(Config.fromYaml(text))
  assert.deepEqual([pool.accounts, pool.shared, await pool.settled()], [['a'], undefined, undefined])
  assert.equal((await pool.lease()).report(418).class, 'quota')
  await assert.rejects(Pool.fromConfig({}), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(Pool.fromConfig(Config.fromYaml(text), { state: '{}' }), AccountsError)
})

test('without a server a pool decides alone and says so', async () => {
  const pool = await Pool.fromConfig(config(await freePort(), 'away', 'strict'))
  const status = await pool.settled()
  assert.equal(status.state, 'degraded')
  assert.ok(status.error)
  const lease = await pool.lease()
  assert.equal(lease.account, 'a')
  lease.report(200)
  await pool.leave()
})

const skip = program ? false : 'neither valkey-server nor redis-server is on the PATH'
describe('with a server', { skip }, () => {
  let server, port, directory

  before(async () => {
    port = await freePort()
    directory = mkdtempSync(join(tmpdir(), 'flowgate-'))
    const where = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--dir', directory]
    server = spawn(program, where, { stdio: 'ignore' })
    await until(() => reachable(port))
  })

  after(async () => {
    server.kill('SIGKILL')
    await once(server, 'exit')
    rmSync(directory, { recursive: true })
  })

  async function pools(name, mode) {
    const both = [await Pool.fromConfig(config(port, name, mode)), await Pool.fromConfig(config(port, name, mode))]
    for (const pool of both) assert.equal((await pool.settled()).state, 'shared')
    return both
  }

  test('what one learns the other knows, and who waits hears of it', async () => {
    const [one, two] = await pools('facts')
    for (const pool of [one, two]) pool.setEnabled('b', false)
    let served
    const first = await one.attempts(
      {
        refresh: async () => {
          await until(() => two.explain()[0].lifecycle === 'needs_refresh')
          // An account whose credential was refused rests for 30 seconds, unless it is refreshed.
          served = two.lease({ timeoutMs: 60_000 }, (lease) => {
            lease.report(200)
            return lease.account
          })
          return true
        },
      },
      (lease) => {
        lease.report(served ? 200 : 401)
        return lease.verdict.class
      },
    )
    assert.equal(first, 'ok')
    const begun = Date.now()
    assert.equal(await served, 'a')
    assert.ok(Date.now() - begun < 25_000)
    await Promise.all([one.leave(), two.leave()])
  })

  test('strict pools take turns', async () => {
    const both = await pools('strict', 'strict')
    const served = []
    for (const pool of [...both, ...both]) {
      await pool.lease({}, (lease) => {
        served.push(lease.account)
        lease.report(200)
      })
    }
    assert.deepEqual(served.slice(0, 2).sort(), ['a', 'b'])
    assert.deepEqual(served.slice(2), served.slice(0, 2))
    for (const pool of both) {
      assert.equal(pool.inflight, 0)
      await pool.leave()
    }
  })

  test('whoever stops waiting keeps no account', async () => {
    const [pool, other] = await pools('aborted', 'strict')
    const signal = AbortSignal.abort(new Error('enough'))
    const late = new AbortController()
    const waits = pool.lease({ signal: late.signal })
    late.abort(new Error('late'))
    await assert.rejects(waits, { message: 'late' })
    await assert.rejects(pool.lease({ signal }), { message: 'enough' })
    assert.equal(pool.inflight, 0)
    await Promise.all([pool.leave(), other.leave()])
  })

  test('a program ends though its pool is shared', async () => {
    const source = `
      import { Config, Pool } from 'flowgate'
      const pool = await Pool.fromConfig(Config.fromYaml(${JSON.stringify(
        `accounts: {pool: [{id: a, provider: x}], shared: {url: "redis://127.0.0.1:${port}"}}`,
      )}))
      console.log((await pool.settled()).state)
    `
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: ['ignore', 'pipe', 'inherit'] })
    const said = []
    child.stdout.on('data', (part) => said.push(part))
    const [code] = await once(child, 'close')
    assert.deepEqual([code, Buffer.concat(said).toString()], [0, 'shared\n'])
  })
})
