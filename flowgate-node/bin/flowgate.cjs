#!/usr/bin/env node
'use strict'

// Runs the program `flowgate`: the one that FLOWGATE_BINARY names, else the one in this package, else the one
// in the package of this platform.

const { spawn } = require('node:child_process')
const { constants } = require('node:os')

const { binary } = require('../binary.cjs')

function main() {
  // What a terminal sends reaches the program too, and must not reach it twice.
  for (const signal of ['SIGINT', 'SIGQUIT']) process.on(signal, () => {})
  for (const signal of ['SIGHUP', 'SIGTERM']) process.on(signal, () => child.kill(signal))
  // Only now: who hears from the program may send a signal at once.
  const child = spawn(binary(), process.argv.slice(2), { stdio: 'inherit' })
  child.on('error', (error) => fail(error))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal]
  })
}

function fail(error) {
  console.error(`error: ${error.message}`)
  process.exitCode = 3
}

try {
  main()
} catch (error) {
  fail(error)
}
