#!lua name=midplane_completions_1

-- Completions in Redis and Valkey. Every function is one atomic step, may be repeated, and looks at all it
-- needs before it writes anything, so that an error means that nothing changed.
--
-- The keys, all in one slot of a cluster and none made of an id:
--   1 store       hash    version, number, retention, last, check, trimmed, trimmed_check, tokens
--   2 executions  hash    id -> {flow, namespace, tag}, and once it finished also
--                               outcome, microseconds, bytes or false, number in the history
--   3 history     stream  number-0: c check, e id, n namespace, t tag; also the channel of wake-ups
--   4 unhandled   zset    id by number in the history
--   5 leases      hash    id -> {token, until, failures, paused}, microseconds
--
-- The numbers of the history have no gaps, so that whatever was trimmed is noticed. Each check is a digest
-- of the one before it, so that a history that was replaced by another one is noticed too.
--
-- What is released under this name never changes: another library has another number.

local VERSION = '1'
local ID_BYTES = 255
local PAYLOAD_BYTES = 1048576
-- So much is trimmed with each completion at most, and so much looked at by one call.
local TRIM_AT_ONCE = 16
local TRIM_BATCH = 1000
local PAGE_BYTES = 1048576
local SCAN_BATCH = 128
local SCAN_MOST = 2048

-- Lua writes large numbers as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function open(keys)
  local found = redis.call('HMGET', keys[1],
    'version', 'number', 'retention', 'last', 'check', 'trimmed', 'trimmed_check')
  if not found[1] then
    return nil, redis.error_reply('NOSTORE no store of completions was installed with this prefix')
  end
  if found[1] ~= VERSION then
    return nil, redis.error_reply('STOREVERSION the store of completions has version ' .. found[1]
      .. ', these functions are of version ' .. VERSION)
  end
  return {
    number = found[2],
    retention = tonumber(found[3]),
    last = tonumber(found[4]),
    check = found[5],
    trimmed = found[6],
    trimmed_check = found[7],
  }
end

local function is_id(text)
  return text and #text >= 1 and #text <= ID_BYTES
end

local function unpacked(packed)
  local fine, value = pcall(cmsgpack.unpack, packed)
  if fine and type(value) == 'table' then
    return value
  end
end

-- The fields of an entry of the history, by name.
local function fields(entry)
  local found = {}
  for at = 1, #entry[2], 2 do
    found[entry[2][at]] = entry[2][at + 1]
  end
  return found
end

local function id(entry)
  local number, sequence = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(number), tonumber(sequence)
end

-- Forgets the oldest of the history but for so many, and with them what was handled.
local function trim(keys, keep, most)
  local excess = math.min(redis.call('XLEN', keys[3]) - keep, most)
  if excess <= 0 then
    return 0
  end
  local oldest = redis.call('XRANGE', keys[3], '-', '+', 'COUNT', whole(excess))
  local last
  for _, entry in ipairs(oldest) do
    last = fields(entry)
    if last.e and not redis.call('ZSCORE', keys[4], last.e) then
      redis.call('HDEL', keys[2], last.e)
    end
  end
  local number, sequence = id(oldest[#oldest])
  redis.call('XTRIM', keys[3], 'MINID', '=', whole(number) .. '-' .. whole(sequence + 1))
  redis.call('HSET', keys[1], 'trimmed', oldest[#oldest][1], 'trimmed_check', last.c or '')
  return #oldest
end

-- install(number, retention or ''): what tells this store from others, and how much history it keeps.
local function install(keys, args)
  local version = redis.call('HGET', keys[1], 'version')
  if version and version ~= VERSION then
    return redis.error_reply('STOREVERSION the store of completions has version ' .. version
      .. ', these functions are of version ' .. VERSION)
  end
  if not version then
    redis.call('HSET', keys[1], 'version', VERSION, 'number', args[1], 'retention', '100000',
      'last', '0', 'check', '', 'trimmed', '', 'trimmed_check', '', 'tokens', '0')
  end
  if args[2] ~= '' and redis.call('HGET', keys[1], 'retention') ~= args[2] then
    redis.call('HSET', keys[1], 'retention', args[2])
  end
  return redis.call('HGET', keys[1], 'number')
end

-- start(id, flow or '', namespace or '', tag or ''): 1 when it started, 0 when it had.
local function start(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  if not is_id(args[1]) then
    return redis.error_reply('UNFITCOMPLETION an id has 1 to 255 bytes')
  end
  local packed = redis.call('HGET', keys[2], args[1])
  if not packed then
    redis.call('HSET', keys[2], args[1],
      cmsgpack.pack({ args[2] or '', args[3] or '', args[4] or '' }))
    return 1
  end
  local execution = unpacked(packed)
  if execution and execution[4] then
    return redis.error_reply('ILLEGALTRANSITION ' .. execution[4]
      .. ': the execution finished already and cannot be started')
  end
  return 0
end

local function append(keys, store, execution, execution_id, at)
  local check = string.sub(redis.sha1hex(store.check .. ' ' .. whole(at) .. ' ' .. execution_id), 1, 8)
  local entry = { 'c', check, 'e', execution_id }
  if execution[2] ~= '' then
    entry[#entry + 1] = 'n'
    entry[#entry + 1] = execution[2]
  end
  if execution[3] ~= '' then
    entry[#entry + 1] = 't'
    entry[#entry + 1] = execution[3]
  end
  local number = store.last + 1
  local added = redis.pcall('XADD', keys[3], whole(number) .. '-0', unpack(entry))
  if type(added) == 'table' and added.err then
    -- Somebody else has written to the history: the numbers go on behind that.
    local about = redis.call('XINFO', 'STREAM', keys[3])
    for at = 1, #about, 2 do
      if about[at] == 'last-generated-id' then
        number = id({ about[at + 1] }) + 1
      end
    end
    redis.call('XADD', keys[3], whole(number) .. '-0', unpack(entry))
  end
  redis.call('HSET', keys[1], 'last', whole(number), 'check', check)
  return number
end

-- complete(id, bytes?) and the like: 1 when it finished, 0 when it had finished so.
local function finish(outcome)
  return function(keys, args)
    local store, problem = open(keys)
    if not store then
      return problem
    end
    local bytes = args[2] or false
    if bytes and #bytes > PAYLOAD_BYTES then
      return redis.error_reply('UNFITCOMPLETION the bytes of a completion are 1 MiB at most, not '
        .. #bytes)
    end
    local packed = args[1] and redis.call('HGET', keys[2], args[1])
    if not packed then
      return redis.error_reply('UNKNOWNEXECUTION no such execution was started')
    end
    local execution = unpacked(packed)
    if not execution then
      return redis.error_reply('POISONEXECUTION the record of the execution cannot be read')
    end
    if execution[4] then
      if execution[4] == outcome and execution[6] == bytes then
        return 0
      end
      return redis.error_reply('ILLEGALTRANSITION ' .. execution[4]
        .. ': the execution finished already, so or with other bytes, and cannot be ' .. outcome)
    end
    -- What can fail comes first: a key of another type, and a permission that is missing. Nobody is
    -- woken before this is over.
    redis.call('ZSCORE', keys[4], args[1])
    redis.call('PUBLISH', keys[3], '')
    local at = now()
    local number = append(keys, store, execution, args[1], at)
    redis.call('HSET', keys[2], args[1], cmsgpack.pack(
      { execution[1], execution[2], execution[3], outcome, at, bytes, number }))
    redis.call('ZADD', keys[4], whole(number), args[1])
    trim(keys, store.retention, TRIM_AT_ONCE)
    return 1
  end
end

-- trim(keep): how many were forgotten; to be called until it is 0.
local function trim_to(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return trim(keys, tonumber(args[1]), TRIM_BATCH)
end

-- head(): the store, and the place behind the last of the history.
local function head(keys, _)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return { store.number, whole(store.last), '0', store.check }
end

-- What a listener gets of an execution that finished.
local function shown(execution_id, execution)
  return {
    execution_id, execution[4], whole(execution[5]), execution[1], execution[2], execution[3], execution[6],
  }
end

local function finished(keys, execution_id)
  local packed = redis.call('HGET', keys[2], execution_id)
  local execution = packed and unpacked(packed)
  if execution and type(execution[4]) == 'string' and type(execution[5]) == 'number' then
    return execution
  end
end

-- read(number, sequence, check, namespace or '', tag or '', most): what is behind the place.
-- {store, 'page', number, sequence, check, more, entries}; {store, 'expired', number, sequence, check,
-- missed} with the place to go on from; or {store, 'replaced'} where this is not the history of the place.
local function read(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local from, sequence, check = tonumber(args[1]), tonumber(args[2]), args[3]
  local most = tonumber(args[6])
  local place = whole(from) .. '-' .. whole(sequence)
  -- The entry of the place itself, and one more than the page.
  local found = redis.call('XRANGE', keys[3], place, '+', 'COUNT', whole(most + 2))
  local known
  if found[1] and found[1][1] == place then
    known = fields(table.remove(found, 1)).c or ''
  elseif place == store.trimmed then
    known = store.trimmed_check
  elseif from > store.last or (from == 0 and check ~= '') then
    return { store.number, 'replaced' }
  end
  -- A place of which no check is known is the one before what is kept.
  if known and check ~= '' and known ~= check then
    return { store.number, 'replaced' }
  end
  if not found[1] and from < store.last then
    return {
      store.number, 'expired', whole(store.last), '0', store.check, whole(store.last - from),
    }
  end

  local entries, bytes, taken = {}, 0, 0
  for _, entry in ipairs(found) do
    if taken == most or bytes > PAGE_BYTES then
      break
    end
    local number, sequence_here = id(entry)
    local record = fields(entry)
    if record.c and number ~= from + 1 then
      if taken > 0 then
        break
      end
      return {
        store.number, 'expired', whole(number - 1), '0', '', whole(number - 1 - from),
      }
    end
    from, sequence, check = number, sequence_here, record.c or ''
    taken = taken + 1
    local here = { whole(number), whole(sequence), check }
    if not record.c or not record.e then
      here[4] = 'an entry of the history that was not written by the functions'
      entries[#entries + 1] = here
    elseif (args[4] == '' or args[4] == record.n) and (args[5] == '' or args[5] == record.t) then
      local execution = finished(keys, record.e)
      if execution then
        here[4] = shown(record.e, execution)
        bytes = bytes + #(execution[6] or '')
      else
        here[4] = 'the record of the execution is gone or cannot be read'
      end
      entries[#entries + 1] = here
    end
  end
  return {
    store.number, 'page', whole(from), whole(sequence), check, taken < #found and 1 or 0, entries,
  }
end

-- scan(after, stale in microseconds, most): {store, place to go on from or '', executions}.
local function scan(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local after, most = tonumber(args[1]), tonumber(args[3])
  local time = now()
  local latest = time - tonumber(args[2])
  local executions, bytes, looked = {}, 0, 0
  while true do
    local batch = redis.call('ZRANGE', keys[4], '(' .. whole(after), '+inf', 'BYSCORE',
      'LIMIT', '0', whole(SCAN_BATCH), 'WITHSCORES')
    if #batch == 0 then
      return { store.number, '', executions }
    end
    for at = 1, #batch, 2 do
      if #executions == most or bytes > PAGE_BYTES or looked == SCAN_MOST then
        return { store.number, whole(after), executions }
      end
      looked = looked + 1
      after = tonumber(batch[at + 1])
      local packed = redis.call('HGET', keys[5], batch[at])
      local lease = packed and unpacked(packed)
      if not lease or (lease[4] <= time and (lease[1] == 0 or lease[2] <= time)) then
        local execution = finished(keys, batch[at])
        if execution and execution[5] <= latest then
          executions[#executions + 1] = shown(batch[at], execution)
          bytes = bytes + #(execution[6] or '')
        end
      end
    end
  end
end

-- claim(microseconds, id...): {id, token, failures} of each lease that was given.
local function claim(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local time = now()
  local claims = {}
  for at = 2, #args do
    if redis.call('ZSCORE', keys[4], args[at]) then
      local packed = redis.call('HGET', keys[5], args[at])
      local lease = packed and unpacked(packed) or { 0, 0, 0, 0 }
      if lease[1] == 0 or lease[2] <= time then
        local token = redis.call('HINCRBY', keys[1], 'tokens', '1')
        redis.call('HSET', keys[5], args[at],
          cmsgpack.pack({ token, time + tonumber(args[1]), lease[3], 0 }))
        claims[#claims + 1] = { args[at], whole(token), whole(lease[3]) }
      end
    end
  end
  return claims
end

-- The lease on the execution, if it has this token.
local function held(keys, execution_id, token)
  local packed = redis.call('HGET', keys[5], execution_id)
  local lease = packed and unpacked(packed)
  if lease and lease[1] ~= 0 and whole(lease[1]) == token then
    return lease
  end
end

-- handled(id, token, ...): how many of these claims held, which are done for good.
local function handled(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local trimmed = tonumber(string.match(store.trimmed, '^%d+') or 0)
  local count = 0
  for at = 1, #args, 2 do
    if held(keys, args[at], args[at + 1]) then
      local number = redis.call('ZSCORE', keys[4], args[at])
      redis.call('ZREM', keys[4], args[at])
      redis.call('HDEL', keys[5], args[at])
      if number and tonumber(number) <= trimmed then
        redis.call('HDEL', keys[2], args[at])
      end
      count = count + 1
    end
  end
  return count
end

-- release(pause in microseconds, id, token, ...): how many of these claims held, which failed.
local function release(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local paused = now() + tonumber(args[1])
  local count = 0
  for at = 2, #args, 2 do
    local lease = held(keys, args[at], args[at + 1])
    if lease then
      redis.call('HSET', keys[5], args[at], cmsgpack.pack({ 0, 0, lease[3] + 1, paused }))
      count = count + 1
    end
  end
  return count
end

local function register(name, callback, flags)
  redis.register_function({
    function_name = 'midplane_' .. name .. '_' .. VERSION, callback = callback, flags = flags,
  })
end

register('install', install, {})
register('start', start, {})
register('complete', finish('success'), {})
register('fail', finish('failure'), {})
register('cancel', finish('cancelled'), {})
register('expire', finish('expired'), {})
register('skip', finish('skipped'), {})
register('trim', trim_to, {})
register('head', head, { 'no-writes' })
register('read', read, { 'no-writes' })
register('scan', scan, { 'no-writes' })
register('claim', claim, {})
register('handled', handled, {})
register('release', release, {})
