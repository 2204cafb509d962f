"""What an explorer knows and computes, without a widget: scenes, edits, the session, the seam lab, files.

It may import `pipeline` and every room below it; nothing in here knows `explorer.widgets`.
"""
