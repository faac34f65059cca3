'use strict'

const { fileURLToPath } = require('node:url')

const { classify, ConfigError, FileError, FlowgateError, ProfileError } = require('./errors.cjs')
const native = require('./native.cjs')

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
  }

  static async load(path) {
    const file = filePath(path)
    return new Config(await settle(() => native.Config.load(file)))
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

async function activate(config, name) {
  const handle = nativeConfig(config)
  string('name', name)
  return settle(() => native.activate(handle, name))
}

function activeProfile(config) {
  const handle = nativeConfig(config)
  return attempt(() => native.activeProfile(handle))
}

function jsonSchema() {
  return JSON.parse(native.JSON_SCHEMA)
}

function attempt(call) {
  try {
    return call()
  } catch (error) {
    throw classify(error)
  }
}

async function settle(start) {
  try {
    return await start()
  } catch (error) {
    throw classify(error)
  }
}

function filePath(path) {
  if (path instanceof URL) return fileURLToPath(path)
  return string('path', path)
}

function string(name, value) {
  // The value stays out of the message: it may be a secret.
  if (typeof value !== 'string') throw wrongType(`\`${name}\` must be a string`)
  return value
}

function wrongType(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' })
}

module.exports = {
  activate,
  activeProfile,
  Config,
  ConfigError,
  FileError,
  FlowgateError,
  jsonSchema,
  merge,
  migrate,
  Profile,
  ProfileError,
  resolvePath,
  STARTER: native.STARTER,
}
