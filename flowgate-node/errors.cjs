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

for (const Class of [FlowgateError, ConfigError, ProfileError, FileError, GuardError, DeniedError]) {
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, configurable: true, writable: true })
}

/** The class of an error, by the first part of its code: the module it comes from. */
const CLASSES = { config: ConfigError, profile: ProfileError, runtime: FileError, guard: GuardError }

/** Gives an error of the native half its class; leaves any other as it is. */
function classify(error) {
  const Class = CLASSES[String(error?.code).split('.', 1)[0]]
  return Class ? new Class(error.message, error) : error
}

module.exports = { classify, ConfigError, DeniedError, FileError, FlowgateError, GuardError, ProfileError }
