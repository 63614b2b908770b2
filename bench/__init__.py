"""Side-by-side measurements: our balancer beside Debian's pen, haproxy and nginx stream.

Read in this order: `balancers` (the command line and the rounds), `works` (what is measured),
`peers` (how each balancer is started), `loads` (what clients do), `origin` (the web server behind),
`measure` (CPU, memory, system calls of a process tree), `report` (medians, ratios, Markdown).
`profile` says where our own time goes, with `steps` counting inside the balancer.
"""
