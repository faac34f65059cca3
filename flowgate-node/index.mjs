import api from './index.cjs'

export const {
  activate,
  activeProfile,
  Config,
  ConfigError,
  DeniedError,
  FileError,
  FlowgateError,
  Guard,
  GuardError,
  jsonSchema,
  merge,
  migrate,
  Profile,
  ProfileError,
  resolvePath,
  STARTER,
} = api
