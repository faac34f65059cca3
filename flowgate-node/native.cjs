'use strict'

// Finds the native half: the library that an environment variable names, else the one beside this
// file, else the one in the package of this platform.

const { constants } = require('node:os')
const { join, resolve } = require('node:path')

const { targets } = require('./targets.cjs')

const { arch, env, platform } = process

/** Loads a library whatever its name ends with, so that Cargo's own can be used. */
function open(file) {
  const library = { exports: {} }
  process.dlopen(library, file, constants.dlopen.RTLD_NOW)
  return library.exports
}

function load() {
  const named = env.FLOWGATE_NATIVE || env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (named) return open(resolve(named))

  const tried = []
  const attempt = (name, call) => {
    try {
      return call()
    } catch (error) {
      tried.push(`  ${name}: ${error.message.split('\n', 1)[0]}`)
    }
  }
  for (const target of targets) {
    const file = join(__dirname, `flowgate.${target}.node`)
    const found = attempt(file, () => open(file)) ?? attempt(`@flowgate/${target}`, () => require(`@flowgate/${target}`))
    if (found) return found
  }
  throw new Error(
    `flowgate has no native library for ${platform}-${arch}; tried:\n${tried.join('\n')}\n` +
      'install again without --omit=optional, or name one in FLOWGATE_NATIVE',
  )
}

module.exports = load()
