'use strict'

// Promises of the native half, which one may stop waiting for.

const { wrongType } = require('./arguments.cjs')
const { withClass } = require('./errors.cjs')

async function settle(start, { signal } = {}) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('`signal` must be an AbortSignal')
  signal?.throwIfAborted()
  try {
    return await (signal ? unlessAborted(start(), signal) : start())
  } catch (error) {
    throw withClass(error)
  }
}

/** The outcome of a promise, or the reason of an abort that comes first. What has begun goes on. */
async function unlessAborted(promise, signal) {
  let abort
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

module.exports = { settle }
