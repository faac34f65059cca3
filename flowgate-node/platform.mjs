// Makes the package of one platform, which holds what was built for it:
//
//   node platform.mjs linux-x64-gnu ../target/release out    out/linux-x64-gnu, to be published
//   node platform.mjs --list out                             writes what is in out into package.json

import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const read = (file) => JSON.parse(readFileSync(file, 'utf8'))
const write = (file, json) => writeFileSync(file, `${JSON.stringify(json, null, 2)}\n`)
const { version, license, engines } = read(join(here, 'package.json'))

/** Finds one of the files that a build may have made. */
function built(folder, names) {
  const found = names.map((name) => join(folder, name)).find(existsSync)
  if (!found) throw new Error(`none of ${names.join(', ')} is in ${folder}`)
  return found
}

function make(target, folder, out) {
  const [os, cpu, libc] = target.split('-')
  const directory = join(out, target)
  mkdirSync(directory, { recursive: true })
  copyFileSync(built(folder, ['libflowgate_node.so', 'libflowgate_node.dylib', 'flowgate_node.dll']), join(directory, 'index.node'))
  const program = built(folder, ['flowgate', 'flowgate.exe'])
  const copy = join(directory, program.endsWith('.exe') ? 'flowgate.exe' : 'flowgate')
  copyFileSync(program, copy)
  chmodSync(copy, 0o755)
  write(join(directory, 'package.json'), {
    name: `@flowgate/${target}`,
    version,
    description: `What \`flowgate\` needs on ${target}.`,
    license,
    engines,
    main: 'index.node',
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc === 'gnu' ? 'glibc' : libc] }),
  })
}

function list(out) {
  const file = join(here, 'package.json')
  const targets = readdirSync(out).sort()
  write(file, { ...read(file), optionalDependencies: Object.fromEntries(targets.map((target) => [`@flowgate/${target}`, version])) })
}

const [target, ...rest] = process.argv.slice(2)
if (target === '--list') list(...rest)
else make(target, ...rest)
