"""Many jobs from a table (``--jobs FILE.csv``), one line per result, on the engines of ``jean.cluster``.

The columns of the table are ``output`` and keys of the command's configuration. Files may be web addresses
(``jean.remote``). The worker that makes a result writes it; the same table again keeps what is finished.
"""
