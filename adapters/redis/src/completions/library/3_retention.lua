
-- Forgets up to `most` of the oldest of the history: those beyond `keep`, or those that finished up to a time; and
-- with them what was handled. What is no record of a completion goes with what is around it.
local function trim(keys, keep, time, most)
  local excess = math.min(keep and redis.call('XLEN', keys[3]) - keep or most, most)
  if excess <= 0 then
    return 0
  end
  local oldest = redis.call('XRANGE', keys[3], '-', '+', 'COUNT', whole(excess))
  local last, gone = nil, 0
  for _, entry in ipairs(oldest) do
    local record = fields(entry)
    local execution = time and record.e and finished(keys, record.e)
    if execution and execution[5] > time then
      break
    end
    last, gone = record, gone + 1
    if last.e and not redis.call('ZSCORE', keys[4], last.e)
      and not redis.call('ZSCORE', keys[8], last.e) then
      redis.call('HDEL', keys[2], last.e)
    end
  end
  if gone == 0 then
    return 0
  end
  local number, sequence = id(oldest[gone])
  redis.call('XTRIM', keys[3], 'MINID', '=', whole(number) .. '-' .. whole(sequence + 1))
  redis.call('HSET', keys[1], 'trimmed', oldest[gone][1], 'trimmed_check', last.c or '')
  return gone
end

-- trim(keep, most): how many were forgotten, but for the newest `keep`; to be called until that is less than `most`.
local function trim_to(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return trim(keys, tonumber(args[1]), nil, tonumber(args[2]))
end

-- prune(microseconds, most): how many were forgotten that are older; to be called until that is less than `most`.
local function prune(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return trim(keys, nil, now() - tonumber(args[1]), tonumber(args[2]))
end
