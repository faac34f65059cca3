'use strict'

const { exec } = require('node:child_process')
const { homedir } = require('node:os')
const { isAbsolute, resolve } = require('node:path')
const { promisify } = require('node:util')

const { classify, ClassifyRules, configs, Lease, Pool } = require('./accounts.cjs')
const { filePath, string, strings, wrongType, wrongValue } = require('./arguments.cjs')
const {
  AccountsError,
  attempt,
  ConfigError,
  DeniedError,
  FileError,
  FlowgateError,
  GuardError,
  NoAccountError,
  ProfileError,
  SuperviseError,
} = require('./errors.cjs')
const native = require('./native.cjs')
const { settle } = require('./promises.cjs')
const supervisor = require('./supervisor.cjs')

const run = promisify(exec)
const inspect = Symbol.for('nodejs.util.inspect.custom')

let nativeConfig

class Config {
  #native

  constructor(handle) {
    if (!(handle instanceof native.Config)) throw wrongType('a Config comes from load, loadSync or fromYaml')
    this.#native = handle
  }

  static {
    nativeConfig = (value) => {
      if (!(value instanceof Config)) throw wrongType('`config` must be a Config')
      return value.#native
    }
    supervisor.nativeOf = (value) => (value instanceof Config ? value.#native : undefined)
    configs.nativeOf = supervisor.nativeOf
  }

  static async load(path, options) {
    const file = filePath(path)
    return new Config(await settle(() => native.Config.load(file), options))
  }

  static loadSync(path) {
    const file = filePath(path)
    return new Config(attempt(() => native.Config.loadSync(file)))
  }

  static fromYaml(text, { file } = {}) {
    string('text', text)
    if (file !== undefined) string('file', file)
    return new Config(attempt(() => native.Config.fromYaml(text, file)))
  }

  get diagnostics() {
    return this.#native.diagnostics()
  }

  get profiles() {
    return this.#native.profiles()
  }

  get file() {
    return this.#native.file()
  }

  profile(name) {
    string('name', name)
    return new Profile(attempt(() => this.#native.profile(name)), name)
  }

  profileDiagnostics() {
    return this.#native.profileDiagnostics()
  }

  resolve() {
    return new Config(attempt(() => this.#native.resolve()))
  }

  toJSON() {
    return this.#native.document()
  }

  [inspect](_depth, options, inspect) {
    return `Config ${inspect({ file: this.file, profiles: this.profiles }, options)}`
  }
}

class Profile {
  #native
  #name

  constructor(handle, name) {
    if (!(handle instanceof native.Profile)) throw wrongType('a Profile comes from config.profile(name)')
    this.#native = handle
    this.#name = name
  }

  get name() {
    return this.#name
  }

  get diagnostics() {
    return this.#native.diagnostics()
  }

  get origins() {
    return this.#native.origins()
  }

  get references() {
    return this.#native.references()
  }

  toJSON() {
    return this.#native.document()
  }

  diff(other) {
    if (!(other instanceof Profile)) throw wrongType('`other` must be a Profile')
    return this.#native.diff(other.#native)
  }

  render(secrets) {
    if (secrets === null || typeof secrets !== 'object') throw wrongType('`secrets` must be an object')
    const pairs = Object.entries(secrets)
    for (const [name, secret] of pairs) {
      // A secret with broken text would be sent with other characters than it has.
      if (typeof secret !== 'string' || !secret.isWellFormed()) {
        throw wrongType(`the secret of \`${name}\` must be well-formed text`)
      }
    }
    return attempt(() => this.#native.render(pairs))
  }

  [inspect](_depth, options, inspect) {
    return `Profile ${inspect({ name: this.name }, options)}`
  }
}

/** The verdict on every command that nothing speaks against: one object, so that saying yes is cheap. */
const ALLOWED = Object.freeze({
  decision: 'allow',
  rule: null,
  severity: null,
  reason: null,
  suggestion: null,
  span: null,
  evidence: 'certain',
})

class Guard {
  #native
  /** The user's home, looked up when it is needed first. */
  #user
  // Where the native half believes to be.
  #cwd
  #home

  constructor(policy, { packs = [] } = {}) {
    if (policy !== undefined && (policy === null || typeof policy !== 'object')) {
      throw wrongType('`policy` must be an object')
    }
    const texts = strings('packs', packs)
    this.#native = attempt(() => native.Guard.create(policy, texts))
  }

  check(command, options) {
    string('command', command)
    this.#enter(options)
    return this.#native.check(command, Date.now()) ?? ALLOWED
  }

  checkBatch(commands, options) {
    const texts = strings('commands', commands)
    this.#enter(options)
    return this.#native.checkBatch(texts, Date.now()).map((verdict) => verdict ?? ALLOWED)
  }

  explain(command, options) {
    string('command', command)
    this.#enter(options)
    return this.#native.explain(command, Date.now())
  }

  packs() {
    return this.#native.packs()
  }

  async exec(command, options) {
    // A copy, so that what was checked is what runs.
    const settings = { ...options }
    const cwd = settings.cwd == null ? process.cwd() : resolve(filePath(settings.cwd))
    const home = (settings.env ?? process.env).HOME
    const verdict = this.check(command, home === undefined ? { cwd } : { cwd, home })
    if (verdict.decision !== 'allow' && verdict.decision !== 'warn') throw new DeniedError(verdict)
    return run(command, { ...settings, cwd })
  }

  #enter({ cwd = process.cwd(), home = (this.#user ??= homedir()) } = {}) {
    if (cwd === this.#cwd && home === this.#home) return
    if (!isAbsolute(string('cwd', cwd))) throw wrongValue('`cwd` must be an absolute path')
    string('home', home)
    this.#native.enter(cwd, home)
    this.#cwd = cwd
    this.#home = home
  }
}

function merge(base, overlay) {
  return native.merge(base, overlay)
}

function migrate(text) {
  string('text', text)
  return attempt(() => native.migrate(text))
}

function resolvePath(path, { dir, home } = {}) {
  string('path', path)
  string('dir', dir)
  if (home !== undefined && home !== null) string('home', home)
  return attempt(() => native.resolvePath(path, dir, home))
}

async function activate(config, name, options) {
  const handle = nativeConfig(config)
  string('name', name)
  return settle(() => native.activate(handle, name), options)
}

function activeProfile(config) {
  const handle = nativeConfig(config)
  return attempt(() => native.activeProfile(handle))
}

function jsonSchema() {
  return JSON.parse(native.JSON_SCHEMA)
}

module.exports = {
  AccountsError,
  activate,
  activeProfile,
  classify,
  ClassifyRules,
  Config,
  ConfigError,
  DeniedError,
  FileError,
  FlowgateError,
  Guard,
  GuardError,
  jsonSchema,
  Lease,
  merge,
  migrate,
  NoAccountError,
  Pool,
  Profile,
  ProfileError,
  resolvePath,
  ServiceEvents: supervisor.ServiceEvents,
  STARTER: native.STARTER,
  SuperviseError,
  Supervisor: supervisor.Supervisor,
  SupervisorClient: supervisor.SupervisorClient,
}
