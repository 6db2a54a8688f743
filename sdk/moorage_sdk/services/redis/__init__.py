"""The real redis-py in the plugin: its connections hand commands to the host, as arguments, instead of to a socket.

Nothing here imports redis before a plugin has asked for a client of it.
"""
