'use strict'

class FlowgateError extends Error {
  constructor(message, { code, diagnostics = [], cause } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.diagnostics = diagnostics
  }
}

class ConfigError extends FlowgateError {}

class ProfileError extends FlowgateError {}

class FileError extends FlowgateError {
  constructor(message, { path, ...options } = {}) {
    super(message, options)
    this.path = path
  }
}

class GuardError extends FlowgateError {}

class DeniedError extends FlowgateError {
  constructor(verdict, options) {
    const { rule, reason, suggestion } = verdict
    const said = [`stopped by the command guard (${rule}):`, reason, suggestion && `Instead: ${suggestion}`]
    super(said.filter(Boolean).join(' '), { code: 'guard.denied', ...options })
    this.verdict = verdict
  }
}

class AccountsError extends FlowgateError {}

class NoAccountError extends FlowgateError {
  constructor(why, until, options) {
    super(`no account can serve: ${why}`, { code: 'accounts.none', ...options })
    this.why = why
    this.until = until
  }

  get retryAfterMs() {
    return this.until === undefined ? undefined : Math.max(this.until - Date.now(), 0)
  }
}

class SuperviseError extends FlowgateError {}

const classes = [FlowgateError, ConfigError, ProfileError, FileError, GuardError, DeniedError, AccountsError, NoAccountError, SuperviseError]
for (const Class of classes) {
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, configurable: true, writable: true })
}

/** The class of an error, by the first part of its code: the module it comes from. */
const CLASSES = {
  accounts: AccountsError,
  config: ConfigError,
  control: SuperviseError,
  guard: GuardError,
  profile: ProfileError,
  runtime: FileError,
  supervise: SuperviseError,
}

/** Gives an error of the native half its class; leaves any other as it is. */
function withClass(error) {
  const Class = CLASSES[String(error?.code).split('.', 1)[0]]
  return Class ? new Class(error.message, error) : error
}

function attempt(call) {
  try {
    return call()
  } catch (error) {
    throw withClass(error)
  }
}

module.exports = {
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
  withClass,
}
