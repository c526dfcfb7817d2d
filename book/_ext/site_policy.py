"""The Content-Security-Policy of every page: what the browser may load, whoever asks for it.

The theme begins each page with scripts and styles of its own in the page itself, so those are
allowed; scripts, styles, pictures, fonts and requests of any other host are not. A picture may also
stand in the address (``data:``) or be made by a script of the page (``blob:``).
"""

POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
}


def meta() -> str:
    """Return the policy as an element for the head of a page, before anything is loaded."""
    text = "; ".join(f"{name} {allowed}" for name, allowed in POLICY.items())
    return f'<meta http-equiv="Content-Security-Policy" content="{text}">\n'
