import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

import { DeniedError, FlowgateError, Guard, GuardError } from 'flowgate'

const PLACE = { cwd: '/home/dev/project', home: '/home/dev' }
const PACK = `
id: my.tool
name: My tool
description: What it can destroy.
rules:
  - id: wipe
    severity: high
    reason: Wipes the disk of the test machine.
    match: { command: mytool, subcommand: wipe }
    deny: [mytool wipe now]
    allow: [mytool status]
`

const guard = new Guard()

test('a verdict says what, why, where and what else', () => {
  const command = 'echo 😀 é; git reset --hard'
  const verdict = guard.check(command, PLACE)
  assert.deepEqual(Object.keys(verdict), ['decision', 'rule', 'severity', 'reason', 'suggestion', 'span', 'evidence'])
  assert.equal(verdict.decision, 'deny')
  assert.equal(verdict.rule, 'core.git:reset-hard')
  assert.equal(verdict.evidence, 'certain')
  assert.equal(command.slice(...verdict.span), 'git reset --hard')
  assert.match(verdict.reason, /uncommitted/)
  assert.match(verdict.suggestion, /git stash/)
})

test('an allowed command costs no object', () => {
  const verdict = guard.check('ls', PLACE)
  assert.deepEqual(verdict, {
    decision: 'allow',
    rule: null,
    severity: null,
    reason: null,
    suggestion: null,
    span: null,
    evidence: 'certain',
  })
  assert.equal(guard.check('git status', PLACE), verdict)
  assert(Object.isFrozen(verdict))
})

test('what is absent is null', () => {
  const alone = new Guard({ packs: ['my'] }, { packs: [PACK] })
  const verdict = alone.check('mytool wipe', PLACE)
  assert.equal(verdict.rule, 'my.tool:wipe')
  assert.equal(verdict.suggestion, null)
})

test('the place counts, from call to call', () => {
  const rule = (command, place) => guard.check(command, { ...PLACE, ...place }).rule
  for (let round = 0; round < 2; round++) {
    assert.equal(rule('rm -rf node_modules', {}), null)
    assert.equal(rule('rm -rf node_modules', { cwd: '/' }), 'core.filesystem:rm-recursive')
    assert.equal(rule('rm -rf /srv/eve', {}), 'core.filesystem:rm-recursive')
    assert.equal(rule('rm -rf /srv/eve', { home: '/srv/eve' }), 'core.filesystem:rm-home')
  }
})

test('without a place it is the current one', (t) => {
  const before = process.cwd()
  t.after(() => process.chdir(before))
  process.chdir('/')
  assert.equal(guard.check('rm -rf *').rule, 'core.filesystem:rm-root')
  process.chdir(before)
  assert.notEqual(guard.check('rm -rf *').rule, 'core.filesystem:rm-root')
})

test('a batch is what its commands are', () => {
  const commands = ['ls', 'git reset --hard', 'git stash drop', '']
  const verdicts = guard.checkBatch(commands, PLACE)
  assert.deepEqual(verdicts, commands.map((command) => guard.check(command, PLACE)))
  assert.deepEqual(verdicts.map(({ decision }) => decision), ['allow', 'deny', 'ask', 'allow'])
  assert.deepEqual(guard.checkBatch([]), [])
})

test('an explanation is for people', () => {
  const text = guard.explain('cd /tmp && git reset --hard', PLACE)
  assert.match(text, /command: cd \/tmp/)
  assert.match(text, /deny by core\.git:reset-hard/)
  assert.match(text, /\^{16}/)
})

test('packs describe themselves, and do what their examples say', () => {
  const packs = new Guard(undefined, { packs: [PACK] }).packs()
  const mine = packs.at(-1)
  assert.deepEqual(mine, {
    id: 'my.tool',
    name: 'My tool',
    description: 'What it can destroy.',
    rules: [
      {
        id: 'my.tool:wipe',
        severity: 'high',
        decision: 'deny',
        reason: 'Wipes the disk of the test machine.',
        suggestion: null,
        deny: ['mytool wipe now'],
        allow: ['mytool status'],
      },
    ],
  })
  const rules = packs.slice(0, -1).flatMap(({ rules }) => rules)
  assert(rules.length > 100)
  for (const { id, deny } of rules) {
    for (const { decision, rule } of guard.checkBatch(deny, PLACE)) assert.notEqual(decision, 'allow', `${id}: ${rule}`)
  }
})

test('a policy decides', () => {
  const decision = (policy, command = 'git reset --hard') => new Guard(policy).check(command, PLACE).decision
  assert.equal(decision(), 'deny')
  assert.equal(decision({}), 'deny')
  assert.equal(decision({ mode: 'warn' }), 'warn')
  assert.equal(decision({ packs: ['all', '-core.git'] }), 'allow')
  assert.equal(decision({ modes: { 'core.git:reset-hard': 'ask' } }), 'ask')
  assert.equal(decision({ allow: [{ exact: 'git reset --hard', reason: 'a test' }] }), 'allow')
})

test('an exception ends', (t) => {
  const policy = { allow: [{ exact: 'git reset --hard', reason: 'a test', expires: '2027-01-31' }] }
  const guard = new Guard(policy)
  t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2027, 0, 30) })
  assert.equal(guard.check('git reset --hard', PLACE).decision, 'allow')
  t.mock.timers.setTime(Date.UTC(2027, 1, 1))
  assert.equal(guard.check('git reset --hard', PLACE).decision, 'deny')
  assert.equal(guard.checkBatch(['git reset --hard'], PLACE)[0].decision, 'deny')
})

test('mistakes of a policy and of packs are errors', () => {
  const mistakes = [
    ['guard.policy.unknown', /modes: there is no .* `core\.gt`/, { modes: { 'core.gt': 'off' } }],
    ['guard.policy.format', /`mode`.*\n.*`alow`/s, { mode: 'of', alow: [] }],
    ['guard.policy.format', /./, []],
    ['guard.policy.allow', /allow\[0\]: it would allow everything/, { allow: [{ rule: '*', reason: 'x' }] }],
    ['guard.pack.format', /./, {}, 'a: ['],
    ['guard.pack.rules', /core\.git/, {}, PACK.replace('my.tool', 'core.git')],
  ]
  for (const [code, message, policy, ...packs] of mistakes) {
    assert.throws(
      () => new Guard(policy, { packs }),
      (error) => {
        assert(error instanceof GuardError && error instanceof FlowgateError, error)
        assert.deepEqual([error.name, error.code, error.diagnostics], ['GuardError', code, []])
        assert.match(error.message, message)
        return true
      },
    )
  }
})

test('a wrong argument is a TypeError', async () => {
  const calls = [
    () => new Guard(null),
    () => new Guard('mode: deny'),
    () => new Guard(new Map()),
    () => new Guard({}, { packs: PACK }),
    () => new Guard({}, { packs: [5] }),
    () => guard.check(),
    () => guard.check(['ls']),
    () => guard.check('ls', null),
    () => guard.check('ls', { cwd: 5 }),
    () => guard.check('ls', { cwd: null }),
    () => guard.check('ls', { cwd: 'here' }),
    () => guard.check('ls', { home: 5 }),
    () => guard.check.call({}, 'ls'),
    () => guard.checkBatch('ls'),
    () => guard.checkBatch(['ls', 5]),
    () => guard.checkBatch(new Array(2)),
    () => guard.explain(5),
  ]
  for (const call of calls) assert.throws(call, TypeError, call.toString())
  await assert.rejects(guard.exec(), TypeError)
  await assert.rejects(guard.exec('ls', { cwd: 5 }), TypeError)
  // The guard is where it was.
  assert.equal(guard.check('rm -rf /', PLACE).decision, 'deny')
})

test('strange text has a verdict', () => {
  for (const text of ['', '\0', '\ud800', "'", '$('.repeat(1e4), '\ufeffls', 'x'.repeat(1 << 21), 'é'.repeat(1 << 20)]) {
    const { decision, span } = guard.check(text, PLACE)
    assert(['allow', 'warn', 'ask', 'deny'].includes(decision))
    if (span) assert(span[0] <= span[1] && span[1] <= text.length)
    assert.equal(typeof guard.explain(text, PLACE), 'string')
  }
  assert.equal(guard.check(`${'x'.repeat(1 << 20)} rm -rf /`, PLACE).rule, 'guard:unanalyzable')
})

test('exec runs what may run', async (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'flowgate-')))
  t.after(() => rmSync(folder, { recursive: true }))
  assert.deepEqual(await guard.exec('echo out; echo err >&2'), { stdout: 'out\n', stderr: 'err\n' })
  assert.equal((await guard.exec('pwd', { cwd: folder })).stdout, `${folder}\n`)
  assert.equal((await guard.exec('pwd', { cwd: pathToFileURL(folder) })).stdout, `${folder}\n`)
  await assert.rejects(guard.exec('echo out; exit 3'), { code: 3, stdout: 'out\n' })
  const lenient = new Guard({ mode: 'warn' })
  const warned = 'echo ran; false && git reset --hard; true'
  assert.equal(lenient.check(warned).decision, 'warn')
  assert.equal((await lenient.exec(warned, { cwd: folder })).stdout, 'ran\n')
})

test('exec runs nothing of what may not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'flowgate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [command, decision] of [['git reset --hard', 'deny'], ['git stash drop', 'ask']]) {
    const error = await guard.exec(`touch ran; ${command}`, { cwd: folder }).then(assert.fail, (error) => error)
    assert(error instanceof DeniedError && error instanceof FlowgateError)
    assert.deepEqual([error.name, error.code, error.diagnostics], ['DeniedError', 'guard.denied', []])
    assert.equal(error.verdict.decision, decision)
    assert(error.message.includes(error.verdict.rule) && error.message.includes(error.verdict.suggestion))
    assert(!existsSync(join(folder, 'ran')))
  }
})

test('exec checks for the place that its options name', async (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'flowgate-')))
  t.after(() => rmSync(folder, { recursive: true }))
  // There is no such directory, so nothing is lost if the guard fails here.
  const command = 'rm -rf flowgate-no-such'
  await guard.exec(command, { cwd: folder })
  await guard.exec(command, { cwd: relative(process.cwd(), folder) })
  const stopped = async (command, options) => (await guard.exec(command, options).then(assert.fail, (error) => error)).verdict.rule
  assert.equal(await stopped(command, { cwd: '/' }), 'core.filesystem:rm-recursive')
  const env = { ...process.env, HOME: '/srv/flowgate-no-such' }
  assert.equal(await stopped('rm -rf /srv/flowgate-no-such', { env }), 'core.filesystem:rm-home')
})

test('every thread has its own', async () => {
  const work = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Guard } = require(workerData)
    const guard = new Guard()
    const commands = Array.from({ length: 500 }, (_, i) => (i % 2 ? 'git reset --hard' : 'git status'))
    const stopped = commands.filter((command) => guard.check(command, { cwd: '/p', home: '/h' }).decision === 'deny')
    parentPort.postMessage([stopped.length, guard.check('git reset --hard').rule])
  `
  const workerData = new URL('../index.cjs', import.meta.url).pathname
  const answers = Array.from({ length: 4 }, () => {
    const worker = new Worker(work, { eval: true, workerData })
    return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  })
  for (const answer of await Promise.all(answers)) assert.deepEqual(answer, [250, 'core.git:reset-hard'])
})
