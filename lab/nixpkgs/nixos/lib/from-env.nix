# The path that an environment variable names, or the default.
name: default:
let
  value = builtins.getEnv name;
in
if value == "" then default else value
