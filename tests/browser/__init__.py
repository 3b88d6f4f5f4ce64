"""Pages in a real headless Chromium, driven by Playwright."""
