'use strict'

// Finds the program `flowgate`: the one that an environment variable names, else the one in this package, else
// the one in the package of this platform, else the first on the path.

const { accessSync, constants } = require('node:fs')
const { delimiter, dirname, join, resolve } = require('node:path')

const { FlowgateError } = require('./errors.cjs')
const { targets } = require('./targets.cjs')

const NAME = process.platform === 'win32' ? 'flowgate.exe' : 'flowgate'

function binary() {
  const named = process.env.FLOWGATE_BINARY
  if (named) {
    if (isProgram(named)) return resolve(named)
    throw missing(`FLOWGATE_BINARY is not a program: ${named}`)
  }
  const packaged = [join(__dirname, 'bin', NAME), ...targets.flatMap(platformPackage)]
  const found = packaged.find(isProgram) ?? onPath()
  if (found) return found
  const tried = packaged.map((place) => `\n  ${place}`).join('')
  throw missing(
    `the program \`flowgate\` is not installed; tried the path and:${tried}\n` +
      'install again without --omit=optional, or name the program in FLOWGATE_BINARY',
  )
}

function platformPackage(target) {
  try {
    return [join(dirname(require.resolve(`@flowgate/${target}/package.json`)), NAME)]
  } catch {
    return []
  }
}

function onPath() {
  // npm puts its own shim on the path, which would find itself.
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder && !folder.includes('node_modules'))
  return folders.map((folder) => join(folder, NAME)).find(isProgram)
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function missing(message) {
  return new FlowgateError(message, { code: 'binary.missing' })
}

module.exports = { binary }
