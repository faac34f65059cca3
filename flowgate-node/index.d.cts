import type { ExecOptions } from 'node:child_process'

/**
 * What a document holds. Integers beyond `Number.MAX_SAFE_INTEGER` are `bigint`s, so that no digit
 * is lost; a document with such an integer cannot go through `JSON.stringify`, which refuses them.
 */
export type Value = null | boolean | number | bigint | string | Value[] | { [key: string]: Value }

/** A place in a text, counted from one. All zeros stand for "not in a text". */
export interface Span {
  line: number
  /** In characters. */
  column: number
  endLine: number
  /** One past the last character. */
  endColumn: number
}

/** One problem of a document: what, where, why, and how to fix it. */
export interface Diagnostic extends Span {
  /** An error makes the document unusable; with a warning it probably does not mean what it says. */
  severity: 'error' | 'warning'
  /** Stable name of the kind of problem, such as `"config.unknown_key"`. */
  code: string
  /** What is wrong, in one sentence. */
  message: string
  /** The file, where the text came from one. */
  file?: string
  /** Where in the document, such as `"services.litellm.port"`; empty for the whole. */
  path: string
  /** How to fix it. */
  hint?: string
  /** Other places that matter, such as the first of two equal keys. */
  related: Related[]
}

/** A second place that belongs to a {@link Diagnostic}. */
export interface Related extends Span {
  /** What is there. */
  message: string
}

/** Where a value of a merged document was written. */
export interface Origin extends Span {
  /** The value, such as `"model_list[0].model_name"`. */
  path: string
  /** The layer it was written in: `"litellm_base"` or `"profiles.NAME"`. */
  layer: string
  /** The file, if the configuration was read from one. */
  file?: string
}

/** One leaf that differs between two profiles. */
export interface Change {
  /** The leaf, such as `"litellm_settings.num_retries"`. */
  path: string
  kind: 'added' | 'changed' | 'removed'
  /** Its value before; not there if it was added. */
  before?: Value
  /** Its value after; not there if it was removed. */
  after?: Value
}

/** What {@link merge} returns. */
export interface Merge {
  merged: Value
  /** Changes that are probably not meant, such as a text that replaces a mapping. */
  warnings: Diagnostic[]
}

/** What {@link migrate} returns. */
export interface Migration {
  /** The new text: the old one with comments, order, quoting and anchors kept. */
  text: string
  /** What was changed, one sentence each; empty if the document is up to date. */
  changes: string[]
  /** What is still wrong with the document, which migration leaves to its author. */
  remaining: Diagnostic[]
}

/** What {@link activate} did. */
export interface Activation {
  /** The profile that is active now. */
  profile: string
  /** The LiteLLM configuration that was written, readable by its owner only. */
  activeConfig: string
  /** The file that says which profile is active. */
  stateFile: string
  /** False if everything was as it should be already, and nothing was written. */
  changed: boolean
}

/** Which profile is active. */
export interface State {
  currentProfile: string
  /** When it became active, in RFC 3339 with milliseconds. */
  updatedAt: string
}

/** A promise that one may stop waiting for. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined
}

/**
 * A checked configuration. Never changes.
 *
 * @example
 * const config = await Config.load('flowgate.yaml')
 * for (const { path, layer, line } of config.profile('balanced').origins) {
 *   console.log(`${path}: ${layer}, line ${line}`)
 * }
 */
export declare class Config {
  private constructor()

  /**
   * Reads a configuration file, without blocking.
   *
   * Rejects with a {@link FileError} if it cannot be read and with a {@link ConfigError} that lists
   * everything that is wrong in it; with the reason of `signal`, if it is aborted first.
   */
  static load(path: string | URL, options?: Abortable): Promise<Config>

  /** Like {@link load}, while the caller waits. */
  static loadSync(path: string | URL): Config

  /**
   * Reads a configuration from YAML or JSON text.
   *
   * `file` is the name that diagnostics and origins give, and relative paths start at its
   * directory; it is not opened. Throws a {@link ConfigError} that lists everything that is wrong.
   */
  static fromYaml(text: string, options?: { file?: string }): Config

  /** What is allowed and suspicious, in the order of the text. */
  get diagnostics(): Diagnostic[]

  /** The names of the profiles, sorted. */
  get profiles(): string[]

  /** The file it was read from. */
  get file(): string | null

  /** Lays a profile over `litellm_base`. Throws a {@link ProfileError} if there is none of this name. */
  profile(name: string): Profile

  /** What is suspicious about how the profiles change the base, in the order of the text. */
  profileDiagnostics(): Diagnostic[]

  /**
   * The same configuration with every path absolute, seen from the directory of its file (or the
   * current directory, if it has none) and from `$HOME`. Throws a {@link ConfigError} if a path
   * cannot be resolved.
   */
  resolve(): Config

  /**
   * The document in the shape of version 2, its keys in the order they were written (but those that
   * look like array indices first, as in every object). See {@link Value} for large integers.
   */
  toJSON(): { [key: string]: Value }
}

/** One profile of a configuration, laid over the base; {@link Config.profile} makes them. */
export declare class Profile {
  private constructor()

  /** The name of the profile. */
  get name(): string

  /** What is suspicious about the changes: a mapping that a null wipes out, a type that changes. */
  get diagnostics(): Diagnostic[]

  /** Where every leaf of the merged document was written, in its order. */
  get origins(): Origin[]

  /** The credentials that the merged document refers to, each once, in its order. */
  get references(): string[]

  /** The merged document: what LiteLLM reads, before the secrets are put in. */
  toJSON(): { [key: string]: Value }

  /** What changes from this profile to another, leaf by leaf. */
  diff(other: Profile): Change[]

  /**
   * The document that LiteLLM reads, as YAML, with the secrets in place.
   *
   * `secrets` maps names of credentials to what they stand for. Throws a {@link ProfileError} that
   * lists every credential it lacks. The text holds the secrets: write it with mode 0600, or let
   * {@link activate} do it.
   */
  render(secrets: { readonly [name: string]: string }): string
}

/**
 * Lays one document over another, as a profile is laid over the base: mappings are merged,
 * everything else replaces, and the text `"$delete"` removes a key. Neither document is changed.
 *
 * As in JSON, keys that hold `undefined` are left out. Throws a `TypeError` for what a document
 * cannot hold and a `RangeError` for numbers that are not finite, integers beyond 128 bits, and
 * documents that are too deep or too large.
 */
export declare function merge(base: Value, overlay: Value): Merge

/**
 * Rewrites the text of a configuration of version 1 or 3 as version 2.
 *
 * Mistakes that were there before are reported and left to the author. Throws a
 * {@link ConfigError} if the text is not YAML or its version is unknown.
 */
export declare function migrate(text: string): Migration

/**
 * Where a path of a configuration leads: absolute stays, `~` is `home`, anything else starts at the
 * absolute directory `dir`.
 *
 * Nothing is looked up. Throws a {@link ConfigError} for a path that is blank, a URL, or that needs
 * a home directory which is not given.
 */
export declare function resolvePath(path: string, options: { dir: string; home?: string | null }): string

/**
 * Makes a profile the active one: fetches its secrets and writes the LiteLLM configuration and
 * `state.json`, both or neither. The configuration, which holds the secrets, has mode 0600. Paths
 * are resolved first, as by {@link Config.resolve}. If everything is as it should be already,
 * nothing is written.
 *
 * Works on a thread of Node's pool, and may hold it for as long as the programs run that print
 * secrets. Rejects with a {@link ProfileError} if the profile or one of its secrets is missing and
 * with a {@link FileError} if a file cannot be written; the active profile stays as it was. Rejects with
 * the reason of `signal` if it is aborted first: then nothing is written if the work had not begun, or
 * else it goes on to its end, and {@link activeProfile} says which.
 */
export declare function activate(config: Config, name: string, options?: Abortable): Promise<Activation>

/**
 * Which profile is active; `null` if none is. Throws a {@link FileError} if `state.json` is there
 * and cannot be read.
 */
export declare function activeProfile(config: Config): State | null

/** What to do with a command, from the mildest: run it, run it and say something, ask a person, stop it. */
export type Decision = 'allow' | 'warn' | 'ask' | 'deny'

/** How bad it is: from worth a remark to gone for good. */
export type Severity = 'low' | 'medium' | 'high' | 'critical'

/** What a {@link Policy} says of a rule: `"default"` is what the rule says itself, `"off"` takes it away. */
export type Mode = 'default' | 'off' | 'warn' | 'ask' | 'deny'

/** What people decide about the rules: the section `guard` of a configuration. */
export interface Policy {
  /** What is on: `"all"`, groups (`"database"`), packs (`"core.git"`); `"-id"` takes one out. */
  readonly packs?: readonly string[]
  /** The mode of everything that no other mode speaks of. */
  readonly mode?: Mode
  /** Modes by pack, group or rule. */
  readonly modes?: { readonly [id: string]: Mode }
  /** Modes by severity. */
  readonly severities?: { readonly [severity in Severity]?: Mode }
  /** Commands that may run although a rule matches. */
  readonly allow?: readonly Allow[]
  /** What to do with what cannot be analysed and names a destructive verb; else `"deny"`. */
  readonly unanalyzable_destructive?: Decision
  /** What to do with other things that cannot be analysed; else `"ask"`. */
  readonly unanalyzable?: Decision
  /** For `flowgate guard`. A {@link Guard} opens no file: read them, and give their texts as `packs`. */
  readonly pack_files?: readonly string[]
  /** For `flowgate guard`. A {@link Guard} writes no file. */
  readonly audit?: boolean
}

/** An exception: one of `rule`, `exact` and `prefix`, or `path` alone. */
export interface Allow {
  /** Matches of this rule, `"pack:rule"`; globs allowed. */
  readonly rule?: string
  /** This very command, the whole line. */
  readonly exact?: string
  /** Simple commands that begin with these words. */
  readonly prefix?: string
  /** Simple commands all of whose paths match this glob; narrows `rule` and `prefix`. */
  readonly path?: string
  /** Why. */
  readonly reason: string
  /** Until when: a day (`"2027-01-31"`) or a moment (`"2027-01-31T12:00:00Z"`). */
  readonly expires?: string
  /** Where it applies. */
  readonly scope?: 'anywhere' | { readonly directory: string }
}

/** The verdict on a command; what does not apply is `null`. */
export interface Verdict {
  readonly decision: Decision
  /** The rule that decided, `"pack:rule"`. */
  readonly rule: string | null
  readonly severity: Severity | null
  /** What would be lost. */
  readonly reason: string | null
  /** What to do instead. */
  readonly suggestion: string | null
  /** The part that decided: `command.slice(...span)`. */
  readonly span: readonly [start: number, end: number] | null
  /** Whether it would do what the rule says, or a part of it is known only when it runs. */
  readonly evidence: 'certain' | 'unresolved'
}

/** A pack of rules. */
export interface Pack {
  id: string
  name: string
  /** What it protects. */
  description: string
  rules: Rule[]
}

/** A rule of a {@link Pack}. */
export interface Rule {
  /** `"pack:rule"`. */
  id: string
  severity: Severity
  /** What it decides by itself. */
  decision: Decision
  /** What is lost. */
  reason: string
  /** What to do instead. */
  suggestion: string | null
  /** Commands that it stops. */
  deny: string[]
  /** Commands that the guard lets through. */
  allow: string[]
}

/** Where a command would run. */
export interface Place {
  /** The absolute path of its directory; else the current directory. */
  readonly cwd?: string
  /** The absolute path of the user's home; else what `os.homedir()` said first. */
  readonly home?: string
}

/**
 * Decides whether a shell command may run: the destructive-command guard.
 *
 * Looks at no file and starts nothing (but {@link exec}). Has an answer to every text; what it
 * cannot analyse is not allowed. Each thread makes its own.
 *
 * @example
 * const guard = new Guard()
 * guard.check('git status').decision // 'allow'
 * guard.check('X=/; sudo rm -rf $X').rule // 'core.filesystem:rm-root'
 */
export declare class Guard {
  /**
   * All built-in packs, or what the policy says. `packs` are the texts of packs of your own, in YAML.
   *
   * Throws a {@link GuardError} if the policy or a pack has mistakes.
   */
  constructor(policy?: Policy, options?: { readonly packs?: readonly string[] })

  /** Decides about one command. Verdicts may be shared; they are not to be changed. */
  check(command: string, place?: Place): Verdict

  /** Decides about many commands, in order: faster than one by one. */
  checkBatch(commands: readonly string[], place?: Place): Verdict[]

  /** Decides like {@link check}, and tells people how. */
  explain(command: string, place?: Place): string

  /** The built-in packs and your own. */
  packs(): Pack[]

  /**
   * Runs a command as `child_process.exec` does, with its options, if the verdict on it is `"allow"`
   * or `"warn"`. It is checked for the directory and the `HOME` that it would run with.
   *
   * Rejects with a {@link DeniedError}, before anything runs, if it is `"ask"` or `"deny"`; and as
   * `child_process.exec` does if the command fails.
   */
  exec(command: string, options?: ExecOptions & { encoding?: BufferEncoding }): Promise<{ stdout: string; stderr: string }>
}

/** What kind of answer a provider gave. */
export type Class =
  | 'ok'
  | 'client_cancelled'
  | 'request_fault'
  | 'entitlement'
  | 'windowless'
  | 'rate'
  | 'quota'
  | 'concurrency'
  | 'overloaded'
  | 'auth'
  | 'auth_dead'
  | 'payment'
  | 'forbidden'
  | 'challenge'
  | 'model_unsupported'
  | 'not_found'
  | 'timeout'
  | 'server_error'
  | 'network'
  | 'unknown'

/** Whom an answer is about. */
export type AnswerScope = 'none' | 'request' | 'model' | 'account' | 'egress' | 'provider'

/** What to do with the request: nothing, give the answer to the caller, try another account, refresh the credential first. */
export type Action = 'done' | 'stop' | 'next' | 'refresh'

/** How an exchange ended without an answer. */
export type Transport = 'cancelled' | 'connect' | 'eof' | 'reset' | 'timeout'

/** Headers of an answer: those of `fetch`, of Node, a `Map`, an object, or pairs. */
export type AnswerHeaders =
  | Iterable<readonly [name: string, value: string]>
  | { readonly [name: string]: string | readonly string[] | number | null | undefined }

/** What came back from a provider, or how it failed to. */
export interface Answer {
  readonly status?: number | null | undefined
  readonly headers?: AnswerHeaders | null | undefined
  /** At least its first 16 KB. */
  readonly body?: string | Uint8Array | null | undefined
  readonly transport?: Transport | null | undefined
}

/** What an answer means, for whom, and what to do. */
export interface Classification {
  class: Class
  scope: AnswerScope
  action: Action
  /** How long the provider asks to wait, in milliseconds, where it says so. */
  cooldownMs: number | null
}

/** Which answers a rule is about (what is left out always holds), and what they mean. */
export interface ClassifyRule {
  readonly provider?: string
  readonly status?: readonly number[]
  /** What the body has in it, in any case. */
  readonly contains?: string
  /** A regular expression that the body matches, in any case. */
  readonly matches?: string
  readonly class?: Class
  readonly scope?: AnswerScope
  readonly action?: Action
  readonly cooldown_ms?: number
}

/** What a user knows better than the tables. Throws an {@link AccountsError} for a rule that cannot be used. */
export declare class ClassifyRules {
  constructor(rules: readonly ClassifyRule[])
  #private
}

/**
 * Says what an answer of a provider means, for whom, and when to come back. Every answer has a meaning.
 *
 * `provider` is `"openai"`, `"azure"`, `"anthropic"`, `"codex"`, `"gemini"`, `"openrouter"` or any other name;
 * `now`, in milliseconds since 1970, is what moments are read against.
 */
export declare function classify(
  provider: string,
  answer?: Answer & { readonly rules?: ClassifyRules | undefined; readonly now?: number },
): Classification

/** An account, as a pool is told of it. It holds no secret: find the credential by the id. */
export interface Account {
  /** Its name, unique in the pool. */
  readonly id: string
  /** Accounts of one provider are overloaded together, and answer alike. */
  readonly provider?: string
  /** Accounts of a lower tier serve first. */
  readonly tier?: number
  /** Its share beside the others of its tier; else 1. */
  readonly weight?: number
  /** How many requests may be under way. */
  readonly max_inflight?: number | null
  /** The models that it serves; else all. */
  readonly models?: readonly string[]
  /** The project or organisation whose quota it shares. */
  readonly group?: string | null
  readonly enabled?: boolean
  /** Something that changes with the credential. */
  readonly revision?: number
}

/** Which of the accounts that may serve a request does. */
export type Strategy =
  | 'auto'
  | 'round_robin'
  | 'weighted'
  | 'fill_first'
  | 'drain_soonest'
  | 'least_inflight'
  | 'lru'

/** How a pool behaves; what is left out is as `flowgate_core::accounts::Settings` has it. */
export interface PoolSettings {
  readonly strategy?: Strategy
  readonly [setting: string]: unknown
}

/** What is asked for. */
export interface LeaseOptions extends Abortable {
  readonly model?: string
  /** A conversation, which stays with its account as long as that can serve. */
  readonly session?: string
  /** About how many tokens the request will take. */
  readonly tokens?: number
  /** How long to wait for an account, in milliseconds; else 30,000. */
  readonly timeoutMs?: number
}

/** What is asked for, over all the times that it is sent; `timeoutMs` is for all of them together. */
export interface AttemptOptions extends LeaseOptions {
  /** Refreshes the credential of an account that was refused, for one caller at a time; answers whether it did. */
  readonly refresh?: (id: string) => unknown
}

/** What a pool made of an answer. */
export interface PoolVerdict {
  /** The account; `null` if the lease had been taken back, and nothing changed. */
  account: string | null
  class: Class
  action: Action
  /** Until when the account, the model or the provider is left alone because of it, in milliseconds since 1970. */
  until: number | null
  /** Whether the request was served. */
  served: boolean
}

/** An account, seen by a request: whether it could serve, and if not, why and until when. */
export interface Candidate {
  id: string
  tier: number
  standing: 'eligible' | 'probe' | 'waiting' | 'busy' | 'excluded'
  lifecycle: 'active' | 'needs_refresh' | 'dead'
  why?: string
  until?: number
  class?: Class
  /** Whether the session of the request is warm here. */
  warm: boolean
  /** About 0 if it is fresh, about 1 if it is used up. */
  pressure: number
  inflight: number
  maxInflight?: number
  requests?: { level: number; limit: number }
  tokens?: { level: number; limit: number }
  /** Whether the quota was learned from refusals. */
  guessed: boolean
}

/** Something that happened in a pool. */
export interface PoolEvent {
  /** Milliseconds since 1970. */
  at: number
  /** Such as `"cooled"`, `"recovered"`, `"died"`. */
  event: string
  account?: string | null
  model?: string | null
  provider?: string | null
  class?: Class
  until?: number
  [more: string]: unknown
}

/**
 * The right to send one request with one account, and the duty to say how it went.
 *
 * Given back without a report, it says nothing about the account.
 */
export declare class Lease {
  private constructor()
  #private

  /** The account: find its credential by this id. */
  readonly account: string

  /** What the pool made of the answer, once it was reported. */
  readonly verdict: PoolVerdict | undefined

  /** Says how the request went. Throws if that was said before. `tokens` is how many it really took. */
  report(
    status?: number | null,
    headers?: AnswerHeaders | null,
    body?: string | Uint8Array | null,
    options?: { readonly transport?: Transport | undefined; readonly tokens?: number | undefined },
  ): PoolVerdict

  /** Says what the first bytes of an answer say, while its end may be minutes away. */
  onHeaders(status: number, headers?: AnswerHeaders | null): void

  /** Gives it back, unless it was reported. */
  release(): void

  /** For `using`: {@link release}. */
  [Symbol.dispose](): void
}

/** How sharing a pool with other processes goes. */
export interface SharedStatus {
  /** The name of the pool. */
  pool: string
  mode: 'local' | 'strict'
  /** `degraded` while the server does not answer: then this process goes on with what it knows. */
  state: 'connecting' | 'shared' | 'degraded'
  /** Since when, in milliseconds since 1970. */
  since: number
  /** Why it is degraded. */
  error?: string
  /** What one process learns the others know after about so many microseconds. */
  roundTripUs: number | undefined
  /** What came from the server and made no sense, so far. */
  ignored: number
}

/**
 * Which account serves the next request. It holds no secret, opens no file and no socket.
 *
 * @example
 * const pool = new Pool([{ id: 'a', provider: 'openai' }, { id: 'b', provider: 'openai' }])
 * const response = await pool.attempts({ model: 'gpt-5' }, async (lease) => {
 *   const response = await fetch(url, { headers: { authorization: `Bearer ${keys[lease.account]}` } })
 *   lease.report(response.status, response.headers, await response.clone().text())
 *   return response
 * })
 */
export declare class Pool {
  /**
   * `state` is what {@link snapshot} returned before: what was learned then counts for the accounts that are
   * still there. Throws an {@link AccountsError} if an account, a setting or the state cannot be used.
   */
  constructor(
    accounts?: readonly Account[],
    options?: { readonly settings?: PoolSettings; readonly rules?: ClassifyRules | undefined; readonly state?: string | undefined },
  )
  #private

  /**
   * A pool of the accounts in the section `accounts` of a configuration, with its settings.
   *
   * Where the section has `shared`, the pool shares what it learns with the processes that use the same one: in the
   * background, without waiting for the server; {@link shared} says how that goes. Find the credential of an account
   * by its id each time: another process may have refreshed it. Rejects with an {@link AccountsError} if `state`
   * cannot be used, or the password of the server cannot be had.
   */
  static fromConfig(config: Config, options?: { readonly state?: string | undefined }): Promise<Pool>

  /** How sharing with other processes goes; undefined if the pool is not shared. */
  get shared(): SharedStatus | undefined
  /** Waits until the server of a shared pool was reached, or found to be away. */
  settled(): Promise<SharedStatus | undefined>
  /** Gives back what this process holds for itself of what is shared. The pool goes on alone. */
  leave(): Promise<void>

  /**
   * A lease, which is waited for if need be. Rejects with a {@link NoAccountError} if no account can serve in
   * time, and with the reason of `signal`. Report it, or give it back (`using` does).
   */
  lease(options?: LeaseOptions): Promise<Lease>

  /**
   * Calls `use` with a lease, and gives it back afterwards. An error of the network is reported by itself.
   */
  lease<T>(options: LeaseOptions | undefined, use: (lease: Lease) => T | PromiseLike<T>): Promise<T>

  /**
   * Calls `send` with one lease after another until the request is served or trying again is of no use. Each call
   * reports its lease; an error of the network is reported by itself, and is not the end while there is hope.
   * Resolves to the last answer, and rejects with the last error if that came last.
   */
  attempts<T>(options: AttemptOptions | undefined, send: (lease: Lease) => T | PromiseLike<T>): Promise<T>

  /** Adds an account, or changes the one of that id; a new `revision` means a new credential. */
  upsert(account: Account): void
  /** Removes an account; false if there is none of this id. */
  remove(id: string): boolean
  /** Lets an account serve, or not; false if there is none of this id. */
  setEnabled(id: string, enabled: boolean): boolean
  /** Forgets every failure of an account; false if there is none of this id. */
  reset(id: string): boolean
  /** Learns from what a usage endpoint of the provider answered; false if it is none that is known. */
  observeUsage(id: string, body: string): boolean
  /** The ids of the accounts. */
  get accounts(): string[]
  /** How many requests are under way. */
  get inflight(): number
  /** Takes back the permits of which nothing was heard for too long; answers how many. */
  expire(): number
  /** All that the pool has learned, as JSON text: to continue after a restart. No secret is in it. */
  snapshot(): string
  /** Says of every account whether it could serve a request, and if not, why and until when. */
  explain(options?: { readonly model?: string; readonly session?: string; readonly tokens?: number }): Candidate[]
  /** What happened since the last call, oldest first; at most the last 1,024 events are kept. */
  drainEvents(): PoolEvent[]
}

/** A service, as it stands under `services` of a configuration; only `command` is required. */
export interface Service {
  readonly command: {
    /** The program and its arguments; no shell is involved. */
    readonly args: readonly string[]
    readonly cwd?: string
    readonly env?: { readonly [name: string]: string }
    readonly env_file?: readonly string[]
    readonly inherit_env?: boolean
  }
  readonly host?: string
  readonly port?: number
  readonly on_port_conflict?: 'wait' | 'fail'
  readonly overlap?: 'never' | 'socket' | 'forward'
  readonly start_timeout?: string
  readonly readiness?: { readonly [key: string]: unknown }
  readonly readiness_path?: string
  readonly liveness?: { readonly [key: string]: unknown }
  readonly health_path?: string
  readonly restart?: { readonly [key: string]: unknown }
  readonly stop?: { readonly [key: string]: unknown }
  readonly depends_on?: readonly string[] | { readonly [service: string]: unknown }
  readonly logs?: { readonly [key: string]: unknown }
  readonly on_supervisor_exit?: 'stop' | 'leave'
}

/** Services by name: each a {@link Service}, or the words of its command alone. */
export interface Services {
  readonly [name: string]: Service | readonly string[]
}

/** Where a service stands. Memory and processor are those of all of its processes. */
export interface ServiceStatus {
  name: string
  /** That in one word of six. */
  public: 'stopped' | 'starting' | 'running' | 'stopping' | 'restarting' | 'error'
  /** That in more detail: `"ready"`, `"unhealthy"`, `"waiting"`, `"backoff"` … */
  state: string
  /** Whether it shall run. */
  want: 'up' | 'down'
  /** The number of its process, or of the last one. */
  generation: number
  pid: number | null
  port: number | null
  /** How often it was started again after it ended by itself. */
  restarts: number
  /** How its last process ended. */
  lastExit: { code: number } | { signal: number } | 'unknown' | null
  /** Whether it did its work, if it has ended and is not started again. */
  completed: boolean | null
  lastError: string | null
  uptimeMs: number | null
  rssBytes: number | null
  cpuMs: number | null
  /** How much of its output could not be written. */
  logBytesLost: number
  /** What belongs to its state. */
  detail: { [key: string]: unknown }
}

/** Something that happened. */
export interface ServiceEvent {
  /** When, in RFC 3339 with milliseconds. */
  ts: string
  seq: number
  /** What: `"service.ready"`, `"service.exited"` …; `"supervisor.lagged"` says how many were `missed`. */
  event: string
  level: 'debug' | 'info' | 'warn' | 'error'
  /** To which service. */
  service: string
  /** What else there is to know. */
  data: { [key: string]: unknown }
}

/** What a change means for one service: with `"replace"` the new process is ready before the old one is stopped. */
export interface PlanStep {
  service: string
  action: 'stop' | 'replace' | 'restart' | 'reconfigure' | 'start'
  because: string[]
}

/** How a change of the configuration ended: made, put back because of `why` (but for `left`), or only planned. */
export interface Applied {
  outcome: 'committed' | 'rolled_back' | 'planned'
  plan: PlanStep[]
  why: string | undefined
  left: string | undefined
}

/** How long to wait. What was asked goes on, also if the wait is given up. */
export interface Waiting extends Abortable {
  /** In milliseconds; else as long as it takes. */
  readonly timeoutMs?: number | undefined
}

/** What happens, for `for await`. It ends with the supervisor. Who reads too slowly is told how much was missed. */
export declare class ServiceEvents implements AsyncIterableIterator<ServiceEvent> {
  private constructor()
  #private

  next(): Promise<IteratorResult<ServiceEvent, undefined>>
  /** Hears no more; `break` in `for await` calls it. */
  return(value?: undefined): Promise<IteratorResult<ServiceEvent, undefined>>
  [Symbol.asyncIterator](): this
  [Symbol.asyncDispose](): Promise<void>
}

/** What one asks a supervisor, of this process or of another. */
export interface Supervising extends AsyncDisposable {
  /** Where the supervisor keeps what it needs. */
  readonly runtimeDir: string

  /** The file that the output of a service goes to; older output is in `….log.1` and so on. */
  logFile(service: string): string

  /**
   * Brings services up, and those they need; all of them, if none is named. Resolves when each of them is ready,
   * has done its work, or has failed.
   */
  start(services?: string | readonly string[], options?: Waiting): Promise<ServiceStatus[]>

  /** Brings services down, those that need others first; resolves when they are. */
  stop(services?: string | readonly string[], options?: Waiting): Promise<ServiceStatus[]>

  /** Replaces the processes of services; resolves when the new ones are ready, or have failed. */
  restart(services?: string | readonly string[], options?: Waiting): Promise<ServiceStatus[]>

  /** Where every service stands, by name. Waits for five seconds at most, if nothing else is said. */
  status(options?: Waiting): Promise<ServiceStatus[]>

  /**
   * Makes the services be what the configuration file says now, with this profile or with the one that is active: all
   * of it, or everything stays as it is. With `dryRun` only says what that would mean. `file` is needed if nothing
   * said where the file is.
   */
  apply(options?: Waiting & { readonly profile?: string; readonly dryRun?: boolean; readonly file?: string | URL }): Promise<Applied>

  /** Asks the supervisor to bring everything down and to end; with `force` at once. */
  shutdown(options?: Waiting & { readonly force?: boolean }): Promise<void>

  /** What happens from now on; an aborted `signal` ends it with its reason. */
  events(options?: Abortable): ServiceEvents
}

/**
 * The way to a supervisor that runs in another process, such as that of `flowgate up`. Linux only.
 *
 * @example
 * await using client = await SupervisorClient.open('.router/runtime')
 * for (const { name, public: state } of await client.status()) console.log(name, state)
 */
export interface SupervisorClient extends Supervising {}
export declare class SupervisorClient {
  private constructor()
  #private

  /**
   * Connects to the supervisor of a runtime directory, or of a configuration, which says where that is.
   *
   * Rejects with a {@link SuperviseError} `"control.not_running"` if there is none.
   */
  static open(where: Config | string | URL, options?: Abortable): Promise<SupervisorClient>

  /** Hangs up. Nothing changes there. */
  close(): Promise<void>
}

/**
 * A supervisor in this process, which keeps services up. Linux only.
 *
 * It has a thread of its own, which never waits for JavaScript. The process does not end by itself as long as it runs;
 * `process.exit()`, an uncaught error and the end of a worker thread bring everything down first. The processes are
 * held by the program `flowgate`, which comes with this package.
 *
 * @example
 * await using supervisor = await Supervisor.open({ web: ['python3', '-m', 'http.server'] }, { runtimeDir: '.run' })
 * await supervisor.start()
 * for await (const { service, event } of supervisor.events()) console.log(service, event)
 */
export interface Supervisor extends Supervising {}
export declare class Supervisor {
  private constructor()
  #private

  /**
   * Starts a supervisor. It takes over what one that was killed left running in the same directory, and starts
   * nothing else.
   *
   * `services` are services by name, or a {@link Config}, which has a directory of its own; `runtimeDir` is where the
   * supervisor keeps what it needs: who has it, logs, and what is known of each process. `program` is another
   * `flowgate` than the one that comes with this package. On SIGINT, SIGTERM and SIGHUP everything is brought down in
   * order, the second time at once, before the signal has its usual effect, unless `handleSignals` is false.
   *
   * Rejects with a {@link SuperviseError} `"supervise.locked"`, `"supervise.no_shim"` or `"supervise.unsupported"`, and
   * with a {@link ConfigError} with everything that is wrong with the services.
   */
  static open(
    services: Services | Config,
    options?: Abortable & {
      readonly runtimeDir?: string | URL
      readonly program?: string | URL
      readonly handleSignals?: boolean
    },
  ): Promise<Supervisor>

  /** Kept when everything is down, whoever asked for it. */
  get finished(): Promise<void>

  /** Makes the services be these; resolves when that is done. */
  replace(services: Services, options?: Abortable): Promise<ServiceStatus[]>

  /** Brings everything down in order; resolves when it is. */
  close(): Promise<void>
}

/** The JSON Schema of the configuration, for editors and validators. */
export declare function jsonSchema(): { [key: string]: unknown }

/** The commented configuration that `flowgate init` writes. */
export declare const STARTER: string

/** What the errors of this package have in common. Match on `code`; show `message`. */
export declare class FlowgateError extends Error {
  constructor(message: string, options: { code: string; diagnostics?: Diagnostic[]; cause?: unknown })

  /** Stable name of the kind of error, such as `"config.invalid"`. */
  code: string

  /** Everything that is wrong in the document, if that is what is wrong; else empty. */
  diagnostics: Diagnostic[]
}

/** The document has mistakes: `"config.invalid"`. */
export declare class ConfigError extends FlowgateError {}

/** The profile cannot be used: `"profile.unknown"`, `"profile.credentials"`. */
export declare class ProfileError extends FlowgateError {}

/** A file could not be read or written: `"runtime.cannot_read"`, `"runtime.cannot_write"`. */
export declare class FileError extends FlowgateError {
  constructor(message: string, options: { code: string; path: string; diagnostics?: Diagnostic[]; cause?: unknown })

  /** The file. */
  path: string
}

/** The guard cannot be made: `"guard.policy.unknown"`, `"guard.pack.format"` and others. */
export declare class GuardError extends FlowgateError {}

/** The guard did not let a command run: `"guard.denied"`. */
export declare class DeniedError extends FlowgateError {
  constructor(verdict: Verdict, options?: { cause?: unknown })

  /** The verdict, `"ask"` or `"deny"`. */
  verdict: Verdict
}

/** A pool cannot be made: an account, a setting, a rule or a snapshot is not right. */
export declare class AccountsError extends FlowgateError {}

/** No account can serve a request in time: `"accounts.none"`. */
export declare class NoAccountError extends FlowgateError {
  constructor(why: string, until?: number, options?: { cause?: unknown })

  /** Such as `"cooldown"`, `"budget"`, `"concurrency"` or `"empty"`. */
  why: string
  /** When one can, in milliseconds since 1970, if nothing else happens; else never. */
  until: number | undefined
  /** How long until then, in milliseconds. */
  get retryAfterMs(): number | undefined
}

/** A supervisor cannot be started or asked: `"supervise.locked"`, `"control.not_running"`, `"control.timeout"` and others. */
export declare class SuperviseError extends FlowgateError {}
