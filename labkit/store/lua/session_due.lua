-- Which sessions must somebody look at now?
-- ARGV: time, how many at most
-- Returns: {session, ...}
return redis.call("ZRANGEBYSCORE", K.deadlines, "-inf", now, "LIMIT", 0, ARGV[2])
