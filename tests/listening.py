"""Code for a process of its own, which hears whom Python tries to reach there.

Python tells its audit hooks of every attempt, also of those that fail or that a library hides.
"""

EVENTS = {
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "socket.gethostbyname",
    "urllib.Request",
}
# calls `_heard`, which the code before it defines, with the event and the words of what it is of
HOOK = f"""
import sys
sys.addaudithook(lambda event, args: _heard(event, repr(args)) if event in {EVENTS} else None)
"""
