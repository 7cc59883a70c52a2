# For check.sh and apply-local.sh: where Terraform's AWS provider comes from, and how to say that something is not there.
# To be sourced.

# No settings of this user: they may name mirrors, or be missing.
export TF_CLI_CONFIG_FILE=/dev/null TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

# The folder that holds registry.terraform.io/hashicorp/aws: what TF_PLUGIN_DIR says, else a place where such folders are kept.
# Prints nothing when there is none.
plugin_dir() {
  if [ -n "${TF_PLUGIN_DIR:-}" ]; then
    echo "$TF_PLUGIN_DIR"
    return
  fi
  local found
  found=$(find "$HOME/.terraform.d" /usr/local/share /usr/share/terraform /usr/local/lib /var/lib /opt -maxdepth 5 -type d \
    -path '*/registry.terraform.io/hashicorp/aws' -print -quit 2>/dev/null || true)
  [ -z "$found" ] || echo "${found%/registry.terraform.io/hashicorp/aws}"
}

# Prepares the folder it stands in: with the provider of plugin_dir, else of the registry. Fails when neither has one.
init() {
  local plugins
  plugins=$(plugin_dir)
  timeout 120 terraform init -backend=false -input=false -no-color ${plugins:+-plugin-dir="$plugins"} "$@" >init.log 2>&1
}

# Says what is not checked and why, and ends well.
skip() {
  echo "skipped: $*"
  exit 0
}

# Makes a Python environment with what a requirements file names: `environment DIR FILE`. DIR stays for the next time.
environment() {
  [ -e "$1/ready" ] && cmp -s "$1/ready" "$2" && return
  command -v python3 >/dev/null || return 1
  echo "installing $(tr '\n' ' ' <"$2")into $1"
  python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" && cp "$2" "$1/ready"
}
