"""The command line: one thin file a command (parse, call, print). Nothing here is imported before it is
asked for.
"""
