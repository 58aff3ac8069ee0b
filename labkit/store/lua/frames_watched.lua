-- Say that somebody has begun to look at a feed of frames. Who looks is not written anywhere: the hosts count for
-- themselves, and the next beat of each brings this time, so that none misses the news.
-- ARGV: time
-- Returns: ok
redis.call("HSET", K.lab, "watched", stamp(now))
news("watched")
return "ok"
