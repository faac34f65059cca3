import api from './index.cjs'

export const {
  activate,
  activeProfile,
  Config,
  ConfigError,
  FileError,
  FlowgateError,
  jsonSchema,
  merge,
  migrate,
  Profile,
  ProfileError,
  resolvePath,
  STARTER,
} = api
