#!/bin/sh
# Print the path of a Chromium; install the distribution's where there is none and that is allowed.
found() { command -v "${CHROMIUM:-}" || command -v chromium || command -v chromium-browser || command -v google-chrome; }
if ! found >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1
fi
found || { echo "test-browser needs Chromium: install it (apt-get install chromium) or name it by CHROMIUM=PATH" >&2; exit 1; }
