# Before whoever asks DNS: names of ours are answered here and nowhere else.
hosts before=dns,resolve etcdsd [!UNAVAIL=return]
hosts last etcdsd [!UNAVAIL=return] skip-if-present=dns,resolve
services last etcdsd
