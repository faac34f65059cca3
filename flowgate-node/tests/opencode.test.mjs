import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as plugin from '../../examples/node/opencode-plugin.mjs'

/** What OpenCode does: makes every export a plugin, and calls its hook before a tool. */
async function start(directory) {
  const hooks = await Promise.all(Object.values(plugin).map((make) => make({ directory, worktree: directory })))
  return async (tool, args) => {
    for (const hook of hooks) await hook['tool.execute.before']({ tool, sessionID: 's', callID: 'c' }, { args })
  }
}

test('a destructive command is stopped, with the reason and what to do instead', async () => {
  const call = await start('/home/dev/project')
  await assert.rejects(call('bash', { command: 'git reset --hard', description: 'x' }), (error) => {
    assert(error instanceof Error)
    assert.match(error.message, /core\.git:reset-hard.*Instead: /s)
    return true
  })
})

test('what a person should decide is stopped', async () => {
  const call = await start('/home/dev/project')
  await assert.rejects(call('bash', { command: 'git stash drop' }), /core\.git:/)
})

test('everything else runs', async () => {
  const call = await start('/home/dev/project')
  await call('bash', { command: "git commit -m 'never git reset --hard'" })
  await call('read', { filePath: '/etc/hosts' })
  await call('write', { filePath: 'a.sh', content: 'git reset --hard' })
})

test('the directory of the call counts', async () => {
  const call = await start('/home/dev/project')
  await call('bash', { command: 'rm -rf node_modules' })
  await call('bash', { command: 'rm -rf node_modules', workdir: 'sub' })
  await assert.rejects(call('bash', { command: 'rm -rf *', workdir: '/' }), /core\.filesystem/)
})

test('a call without a command is stopped', async () => {
  const call = await start('/home/dev/project')
  await assert.rejects(call('bash', {}), TypeError)
  await assert.rejects(call('bash', { command: ['ls'] }), TypeError)
})
