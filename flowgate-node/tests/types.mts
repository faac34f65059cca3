// Compiled, not run: what TypeScript must accept, and what it must refuse.

import {
  activate,
  activeProfile,
  Config,
  ConfigError,
  DeniedError,
  FileError,
  FlowgateError,
  Guard,
  GuardError,
  jsonSchema,
  merge,
  migrate,
  Profile,
  resolvePath,
  STARTER,
  SuperviseError,
  Supervisor,
  SupervisorClient,
  type Activation,
  type Applied,
  type Change,
  type Decision,
  type Diagnostic,
  type Merge,
  type Migration,
  type Origin,
  type Pack,
  type Policy,
  type ServiceEvent,
  type ServiceStatus,
  type SharedStatus,
  type State,
  type Value,
  type Verdict,
} from 'flowgate'

export async function accepts(url: URL): Promise<void> {
  const config: Config = await Config.load('flowgate.yaml')
  await Config.load(url)
  Config.loadSync(url)
  Config.fromYaml(STARTER)
  Config.fromYaml(STARTER, { file: 'a.yaml' })
  const pool: Pool = await Pool.fromConfig(config, { state: '{}' })
  const sharing: SharedStatus | undefined = (await pool.settled()) ?? pool.shared
  const lag: number | undefined = sharing?.roundTripUs
  await pool.leave()
  const diagnostics: Diagnostic[] = [...config.diagnostics, ...config.profileDiagnostics()]
  const file: string | null = config.file
  const document: { [key: string]: Value } = config.resolve().toJSON()
  const profile: Profile = config.profile(config.profiles[0] ?? 'balanced')
  const origins: Origin[] = profile.origins
  const line: number | undefined = origins[0]?.line
  const changes: Change[] = profile.diff(profile)
  const before: Value | undefined = changes[0]?.before
  const text: string = profile.render({ cliproxy: 'x' })
  const merged: Merge = merge({ a: [1, 2n, null, { b: 'c' }] }, document)
  const migration: Migration = migrate(text)
  const path: string = resolvePath('~/x', { dir: '/etc', home: null })
  const activation: Activation = await activate(config, profile.name)
  const state: State | null = activeProfile(config)
  const schema: unknown = jsonSchema().properties
  const error: Error = new FlowgateError('x', { code: 'x', cause: new ConfigError('y', { code: 'y' }) })
  if (error instanceof FileError) error.path.length
  if (error instanceof FlowgateError) error.diagnostics.push(...diagnostics)
  const hint: string | undefined = diagnostics[0]?.hint
  const related: number | undefined = diagnostics[0]?.related[0]?.endColumn
  void [lag, file, line, before, merged.warnings, migration.remaining, path, activation.changed, state?.updatedAt, schema, hint, related]
}

export async function guards(url: URL): Promise<void> {
  const policy: Policy = {
    packs: ['all', '-database'],
    mode: 'default',
    modes: { 'core.git': 'ask' },
    severities: { low: 'off' },
    allow: [{ prefix: 'git reset', reason: 'x', scope: { directory: '/tmp' }, expires: '2027-01-31' }],
    unanalyzable: 'deny',
  }
  const guard: Guard = new Guard(policy, { packs: ['id: x'] as const })
  const verdict: Verdict = guard.check('ls', { cwd: '/', home: '/root' })
  const decision: Decision = verdict.decision
  const part: string = verdict.span ? 'ls'.slice(...verdict.span) : ''
  const rules: (string | null)[] = guard.checkBatch(['ls'] as const, { cwd: '/' }).map(({ rule }) => rule)
  const text: string = guard.explain('ls')
  const packs: Pack[] = guard.packs()
  const suggestion: string | null | undefined = packs[0]?.rules[0]?.suggestion
  const { stdout }: { stdout: string } = await guard.exec('ls', { cwd: url, timeout: 5, env: {}, encoding: 'utf8' })
  const error: Error = new DeniedError(verdict, { cause: new GuardError('x', { code: 'x' }) })
  if (error instanceof DeniedError) error.verdict.severity?.length
  void [decision, part, rules, text, suggestion, stdout]
}

export function guardRefuses(guard: Guard): void {
  // @ts-expect-error: not a policy
  new Guard({ mood: 'deny' })
  // @ts-expect-error: not a mode
  new Guard({ mode: 'allow' })
  // @ts-expect-error: texts, one for each pack
  new Guard({}, { packs: 'id: x' })
  // @ts-expect-error: an exception has a reason
  new Guard({ allow: [{ exact: 'ls' }] })
  // @ts-expect-error: a command is text
  guard.check(['ls'])
  // @ts-expect-error: null must be considered
  guard.check('ls').rule.length
  // @ts-expect-error: not to be changed
  guard.check('ls').decision = 'allow'
  // @ts-expect-error: not a decision
  guard.check('ls').decision === 'block'
  // @ts-expect-error: a promise
  guard.exec('ls').stdout
  // @ts-expect-error: text, not bytes
  guard.exec('ls', { encoding: 'buffer' })
}

export function refuses(config: Config): void {
  // @ts-expect-error: configurations come from load, loadSync and fromYaml
  new Config()
  // @ts-expect-error: text, not bytes
  Config.fromYaml(new Uint8Array())
  // @ts-expect-error: not an option
  Config.fromYaml('', { path: 'a.yaml' })
  // @ts-expect-error: never changes
  config.file = 'a.yaml'
  // @ts-expect-error: secrets are text
  config.profile('a').render({ a: 1 })
  // @ts-expect-error: not a profile
  config.profile('a').diff(config)
  // @ts-expect-error: what a document cannot hold
  merge({ a: new Date() }, {})
  // @ts-expect-error: a directory is needed
  resolvePath('a', {})
  // @ts-expect-error: null must be considered
  activeProfile(config).currentProfile
}

// Accounts.
import { AccountsError, classify, ClassifyRules, Lease, NoAccountError, Pool, type Candidate, type Classification, type PoolVerdict } from 'flowgate'

const rules: ClassifyRules = new ClassifyRules([{ status: [418], class: 'overloaded' }])
const meaning: Classification = classify('openai', { status: 429, headers: new Headers(), body: new Uint8Array(), rules })
const shortest: Classification = classify('openai')
void [meaning.cooldownMs?.toFixed(), shortest.class === 'rate']
// @ts-expect-error: no such kind of answer
void (meaning.class === 'bad')
const pool = new Pool([{ id: 'a', provider: 'openai', max_inflight: 2 }], { settings: { strategy: 'lru', jitter: false }, rules })
// @ts-expect-error: an account has an id
new Pool([{ provider: 'openai' }])
{
  using lease: Lease = await pool.lease({ model: 'gpt-5', session: 's', signal: AbortSignal.timeout(5) })
  const verdict: PoolVerdict = lease.report(200, { 'x-a': ['1', '2'] }, 'text', { tokens: 5 })
  void verdict.until?.toFixed()
}
const length: number = await pool.lease({}, (lease) => lease.account.length)
const status: number = await pool.attempts({ refresh: async (id: string) => id !== '' }, async (lease) => {
  const response = await fetch('http://localhost', { headers: { authorization: lease.account } })
  lease.report(response.status, response.headers, await response.text())
  return response.status
})
const candidates: Candidate[] = pool.explain({ model: 'gpt-5' })
void [length, status, candidates[0]?.standing === 'busy', pool.drainEvents()[0]?.event]
// @ts-expect-error: leases come from a pool
new Lease()
if (Math.random() > 1) throw new NoAccountError('empty')
const accountsError: unknown = new AccountsError('no', { code: 'accounts.invalid' })
if (accountsError instanceof NoAccountError) void accountsError.retryAfterMs?.toFixed()

const supervisor: Supervisor = await Supervisor.open({ web: ['serve'], db: { command: { args: ['db'] }, port: 80 } }, { runtimeDir: '.run' })
await Supervisor.open(await Config.load('flowgate.yaml'), { handleSignals: false, program: new URL('file:///bin/flowgate') })
const statuses: ServiceStatus[] = await supervisor.start('web', { timeoutMs: 3, signal: AbortSignal.timeout(3) })
const happened: ServiceEvent['level'][] = []
for await (const event of supervisor.events({ signal: AbortSignal.timeout(3) })) happened.push(event.level)
const client: SupervisorClient = await SupervisorClient.open('.run')
const change: Applied = await client.apply({ profile: 'cost', dryRun: true })
const ended: Promise<void> = supervisor.finished
const pid: number | null = statuses[0]!.pid
await using closing = await SupervisorClient.open(await Config.load('flowgate.yaml'))
const stable: boolean = new SuperviseError('x', { code: 'supervise.locked' }) instanceof FlowgateError
void [happened, change, ended, pid, closing, stable]

// @ts-expect-error
new Supervisor()
// @ts-expect-error
await supervisor.start(3)
// @ts-expect-error
await client.replace({})
// @ts-expect-error
await Supervisor.open({ web: { args: ['serve'] } }, { runtimeDir: '.run' })
// @ts-expect-error
for (const event of supervisor.events()) void event
// @ts-expect-error
statuses[0]!.public === 'runing'
