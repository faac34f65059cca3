'use strict'

// Checks of arguments. No message holds a value: it may be a secret.

const { fileURLToPath } = require('node:url')

function check(name, value, type) {
  if (typeof value !== type || value === null) throw wrongType(`\`${name}\` must be ${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`)
  return value
}

function string(name, value) {
  return check(name, value, 'string')
}

function strings(name, values) {
  // Read once, for what is checked must be what is used.
  const texts = Array.isArray(values) ? Array.from(values) : undefined
  if (!texts?.every((text) => typeof text === 'string')) throw wrongType(`\`${name}\` must be an array of strings`)
  return texts
}

/** A number that fits into 32 bits without a sign. */
function whole(name, value, most = 0xffff_ffff) {
  if (!Number.isInteger(check(name, value, 'number')) || value < 0 || value > most) {
    throw Object.assign(new RangeError(`\`${name}\` must be a whole number`), { code: 'ERR_OUT_OF_RANGE' })
  }
  return value
}

function filePath(path) {
  if (path instanceof URL) return fileURLToPath(path)
  return string('path', path)
}

function wrongType(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' })
}

function wrongValue(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' })
}

module.exports = { check, filePath, string, strings, whole, wrongType, wrongValue }
