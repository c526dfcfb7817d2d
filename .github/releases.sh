#!/usr/bin/env bash
# The sites of the releases on GitHub, site-vX.Y.Z.zip: fetch them all, or keep one with its release.
# Usage: releases.sh fetch FOLDER | keep TAG; needs gh, GH_TOKEN and GitHub's own variables.
set -euo pipefail

case "$1" in
  fetch)
    mkdir -p "$2"
    gh api --paginate "repos/$GITHUB_REPOSITORY/releases" \
      --jq '.[] | .tag_name as $tag | .assets[].name | select(startswith("site-v")) | "\($tag) \(.)"' |
      while read -r tag file; do
        gh release download "$tag" --repo "$GITHUB_REPOSITORY" --pattern "$file" --dir "$2" --clobber
      done
    ;;
  keep)
    if ! gh release view "$2" --repo "$GITHUB_REPOSITORY" >/dev/null 2>&1; then
      gh release create "$2" --repo "$GITHUB_REPOSITORY" --verify-tag --title "Edition ${2#v}" \
        --notes "What changed: CHANGELOG.md. The attached file is the built site, to read offline."
    fi
    gh release upload "$2" "site-$2.zip" --repo "$GITHUB_REPOSITORY" --clobber
    ;;
esac
