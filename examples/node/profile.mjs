// What a profile becomes, and where each value was written:
//
//   node flowgate-node/build.mjs && node examples/node/profile.mjs
//
// In a project of your own: import { Config, STARTER } from 'flowgate'

import { Config, STARTER } from '../../flowgate-node/index.mjs'

const config = Config.fromYaml(STARTER, { file: 'flowgate.yaml' })
const balanced = config.profile('balanced')

console.log(JSON.stringify(balanced, null, 2))
for (const { path, layer, file, line } of balanced.origins) {
  console.log(`${path}: ${layer}, ${file}:${line}`)
}
