'use strict'

const { arch, platform } = process

/** What this machine may be called in the name of a library or a package, the likeliest first. */
const targets = (platform === 'linux' ? ['-gnu', '-musl'] : ['']).map((libc) => `${platform}-${arch}${libc}`)

module.exports = { targets }
