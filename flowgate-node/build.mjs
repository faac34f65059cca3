// Builds the native half and the program `flowgate`, and puts them where native.cjs and binary.cjs look:
//
//   node build.mjs           optimised, for use
//   node build.mjs --debug   fast to build, for development

import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const profile = process.argv.includes('--debug') ? 'debug' : 'release'
const cargo = (...args) => execFileSync('cargo', args, { cwd: here, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

const optimised = profile === 'release' ? ['--release'] : []
cargo('build', '--package', 'flowgate-node', '--package', 'flowgate-cli', ...optimised)
const { target_directory: target } = JSON.parse(cargo('metadata', '--format-version=1', '--no-deps'))

const { arch, platform, report } = process
const library = { darwin: 'libflowgate_node.dylib', win32: 'flowgate_node.dll' }[platform] ?? 'libflowgate_node.so'
const libc = platform !== 'linux' ? '' : report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl'
const addon = join(here, `flowgate.${platform}-${arch}${libc}.node`)
copyFileSync(join(target, profile, library), addon)
console.log(addon)

const program = platform === 'win32' ? 'flowgate.exe' : 'flowgate'
copyFileSync(join(target, profile, program), join(here, 'bin', program))
console.log(join(here, 'bin', program))
