#!lua name=midplane_completions_3

-- Completions in Redis and Valkey. Every function is one atomic step, may be repeated, and looks at all it
-- needs before it writes anything, so that an error means that nothing changed.
--
-- The keys, all in one slot of a cluster and none made of an id:
--   1 store       hash    version, number, retention or age, last, check, trimmed, trimmed_check, tokens
--   2 executions  hash    id -> {flow, namespace, tag}, and once it finished also
--                               outcome, microseconds, bytes or false, number in the history
--   3 history     stream  number-0: c check, e id, n namespace, t tag; also the channel of wake-ups
--   4 unhandled   zset    id by number in the history
--   5 leases      hash    id -> {token, until, failures, paused, true if for a claim in its flow, error of a dead
--                               letter}, microseconds
--   6 due         zset    by name: namespace, when it can be taken, tag, id, of each that is not handled;
--                         of a flow its first alone, for all of it
--   7 flows       zset    by name: namespace, flow, number, id, of each that is not handled and has a flow
--   8 dead        zset    id by number in the history, of dead letters
--
-- The numbers of the history have no gaps, so that whatever was trimmed is noticed. Each check is a digest
-- of the one before it, so that a history that was replaced by another one is noticed too.
--
-- What is released under this name never changes: another library has another number.

local VERSION = '3'
local ID_BYTES = 255
local PAYLOAD_BYTES = 1048576
-- So much is trimmed with each completion at most, by number and by age.
local TRIM_AT_ONCE = 16
local TRIM_OLD_AT_ONCE = 2
local PAGE_BYTES = 1048576
local SCAN_BATCH = 128
local SPACES_MOST = 1000

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
    'version', 'number', 'retention', 'last', 'check', 'trimmed', 'trimmed_check', 'age')
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
    age = tonumber(found[8] or ''),
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

local function finished(keys, execution_id)
  local packed = redis.call('HGET', keys[2], execution_id)
  local execution = packed and unpacked(packed)
  if execution and type(execution[4]) == 'string' and type(execution[5]) == 'number' then
    return execution
  end
end

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

-- What a listener gets of an execution that finished.
local function shown(execution_id, execution)
  return {
    execution_id, execution[4], whole(execution[5]), execution[1], execution[2], execution[3], execution[6],
  }
end

-- A text in front of another: how long it is, and the text.
local function part(text)
  return string.format('%02x', #text) .. text
end

local function padded(number)
  return string.format('%016.0f', number)
end

local function lease_of(keys, execution_id)
  local packed = redis.call('HGET', keys[5], execution_id)
  return packed and unpacked(packed) or { 0, 0, 0, 0 }
end

-- The name of an execution among those that are due: at the end of its lease or its pause, or since it
-- finished.
local function due_name(execution_id, execution, lease)
  local at = execution[5]
  if lease[1] ~= 0 then
    at = lease[2]
  elseif lease[4] ~= 0 then
    at = lease[4]
  end
  return part(execution[2]) .. padded(at) .. part(execution[3]) .. execution_id
end

local function flow_prefix(execution)
  return part(execution[2]) .. part(execution[1])
end

local function flow_name(execution_id, execution)
  return flow_prefix(execution) .. padded(execution[7]) .. execution_id
end

-- The first and the second of a flow that are not handled.
local function first_of(keys, execution)
  local prefix = flow_prefix(execution)
  local found = redis.call('ZRANGE', keys[7], '[' .. prefix, '(' .. prefix .. ':', 'BYLEX',
    'LIMIT', '0', '2')
  return found[1] and string.sub(found[1], #prefix + 17), found[2] and string.sub(found[2], #prefix + 17)
end

-- Lists an execution as one that is to be handled.
local function index(keys, execution_id, execution)
  if execution[1] ~= '' then
    redis.call('ZADD', keys[7], '0', flow_name(execution_id, execution))
    local first, second = first_of(keys, execution)
    if first ~= execution_id then
      return
    end
    local before = second and finished(keys, second)
    if before then
      redis.call('ZREM', keys[6], due_name(second, before, lease_of(keys, second)))
    end
  end
  redis.call('ZADD', keys[6], '0', due_name(execution_id, execution, lease_of(keys, execution_id)))
end

local function unindex(keys, execution_id, execution)
  redis.call('ZREM', keys[6], due_name(execution_id, execution, lease_of(keys, execution_id)))
  if execution[1] ~= '' then
    redis.call('ZREM', keys[7], flow_name(execution_id, execution))
  end
end

-- Makes the next of a flow its first, once the one that was is unlisted.
local function promote(keys, execution)
  local first = execution[1] ~= '' and first_of(keys, execution)
  local next_one = first and finished(keys, first)
  if next_one then
    redis.call('ZADD', keys[6], '0', due_name(first, next_one, lease_of(keys, first)))
  end
end

-- Keeps a lease, and moves the execution to where it is due, if it is listed there.
local function set_lease(keys, execution_id, execution, lease)
  local before = due_name(execution_id, execution, lease_of(keys, execution_id))
  if lease[1] == 0 and lease[3] == 0 and lease[4] == 0 then
    redis.call('HDEL', keys[5], execution_id)
  else
    redis.call('HSET', keys[5], execution_id, cmsgpack.pack(lease))
  end
  if redis.call('ZREM', keys[6], before) == 1 then
    redis.call('ZADD', keys[6], '0', due_name(execution_id, execution, lease))
  end
end

-- install(number, records or '', microseconds or ''): what tells this store from others, and how much history it keeps,
-- by number or by age.
local function install(keys, args)
  local version = redis.call('HGET', keys[1], 'version')
  if version == '1' then
    -- The first version knew what is not handled by its numbers alone.
    for _, execution_id in ipairs(redis.call('ZRANGE', keys[4], '0', '-1')) do
      local execution = finished(keys, execution_id)
      if execution then
        index(keys, execution_id, execution)
      end
    end
  end
  if version == '1' or version == '2' then
    -- The second version kept no errors, and nothing by age.
    redis.call('HSET', keys[1], 'version', VERSION)
    version = VERSION
  end
  if version and version ~= VERSION then
    return redis.error_reply('STOREVERSION the store of completions has version ' .. version
      .. ', these functions are of version ' .. VERSION)
  end
  if not version then
    redis.call('HSET', keys[1], 'version', VERSION, 'number', args[1], 'retention', '100000',
      'last', '0', 'check', '', 'trimmed', '', 'trimmed_check', '', 'tokens', '0')
  end
  if args[2] ~= '' or args[3] ~= '' then
    redis.call('HSET', keys[1], 'retention', args[2], 'age', args[3])
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
    for at = 4, 8 do
      if at ~= 5 then
        redis.call('ZSCORE', keys[at], args[1])
      end
    end
    redis.call('PUBLISH', keys[3], '')
    local at = now()
    local number = append(keys, store, execution, args[1], at)
    local done = { execution[1], execution[2], execution[3], outcome, at, bytes, number }
    redis.call('HSET', keys[2], args[1], cmsgpack.pack(done))
    redis.call('ZADD', keys[4], whole(number), args[1])
    index(keys, args[1], done)
    if store.age then
      trim(keys, nil, at - store.age, TRIM_OLD_AT_ONCE)
    else
      trim(keys, store.retention, nil, TRIM_AT_ONCE)
    end
    return 1
  end
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

-- head(): the store, and the place behind the last of the history.
local function head(keys, _)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return { store.number, whole(store.last), '0', store.check }
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

-- scan(after, dead or '', most): {store, place to go on from or '', executions}, each with the error of a dead letter.
local function scan(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local after, most = tonumber(args[1]), tonumber(args[3])
  local listed = args[2] == '' and keys[4] or keys[8]
  local executions, bytes = {}, 0
  while true do
    local batch = redis.call('ZRANGE', listed, '(' .. whole(after), '+inf', 'BYSCORE',
      'LIMIT', '0', whole(SCAN_BATCH), 'WITHSCORES')
    if #batch == 0 then
      return { store.number, '', executions }
    end
    for at = 1, #batch, 2 do
      if #executions == most or bytes > PAGE_BYTES then
        return { store.number, whole(after), executions }
      end
      after = tonumber(batch[at + 1])
      local execution = finished(keys, batch[at])
      if execution then
        local kept = args[2] ~= '' and lease_of(keys, batch[at])[6] or false
        executions[#executions + 1] = { shown(batch[at], execution), kept }
        bytes = bytes + #(execution[6] or '')
      end
    end
  end
end

-- The namespaces to take from, each as its names begin: behind the one that had the last turn, then from the
-- first on.
local function spaces_in_turn(keys, most)
  local turn = redis.call('HGET', keys[1], 'turn') or ''
  local spaces, seen = {}, {}
  local from = turn == '' and '-' or '(' .. turn .. ':'
  local wrapped = turn == ''
  while #spaces < most do
    local first = redis.call('ZRANGE', keys[6], from, '+', 'BYLEX', 'LIMIT', '0', '1')[1]
    local space = first and string.sub(first, 1, 2 + tonumber(string.sub(first, 1, 2), 16))
    if space and not seen[space] then
      seen[space] = true
      spaces[#spaces + 1] = space
      from = '(' .. space .. ':'
    elseif wrapped then
      break
    else
      wrapped = true
      from = '-'
    end
  end
  return spaces
end

local function is_busy(lease, time)
  return (lease[1] ~= 0 and lease[2] > time) or lease[4] > time
end

-- What can be taken of the flow of an execution that is its first. Nothing where the flow is busy: it is looked
-- at again when that is over.
local function beginning(keys, execution_id, execution, tag, most, time)
  local prefix = flow_prefix(execution)
  local listed = redis.call('ZRANGE', keys[7], '[' .. prefix, '(' .. prefix .. ':', 'BYLEX',
    'LIMIT', '0', whole(math.max(most, 2)))
  local ids = {}
  for _, member in ipairs(listed) do
    local next_id = string.sub(member, #prefix + 17)
    local lease = lease_of(keys, next_id)
    if is_busy(lease, time) then
      if next_id ~= execution_id then
        -- A dead letter that was replayed came before what is claimed.
        local own = lease_of(keys, execution_id)
        local over = math.max(lease[1] ~= 0 and lease[2] or 0, lease[4])
        set_lease(keys, execution_id, execution, { 0, 0, own[3], over, true })
      end
      return {}
    end
    local next_one = finished(keys, next_id)
    if #ids == most or not next_one or (tag and part(next_one[3]) ~= tag) then
      break
    end
    ids[#ids + 1] = next_id
  end
  return ids
end

-- take(namespace or '', tag or '', most, most of a flow, microseconds): {store, more, leases}, each lease as
-- {token, failures, execution}.
local function take(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local time = now()
  local tag = args[2] ~= '' and part(args[2])
  local left, of_a_flow = tonumber(args[3]), tonumber(args[4])
  local until_then = time + tonumber(args[5])
  local spaces = args[1] ~= '' and { part(args[1]) }
    or spaces_in_turn(keys, SPACES_MOST)
  local taken, bytes, more, last = {}, 0, false, nil
  local function give(execution_id)
    local execution = finished(keys, execution_id)
    local lease = lease_of(keys, execution_id)
    local token = redis.call('HINCRBY', keys[1], 'tokens', '1')
    set_lease(keys, execution_id, execution, { token, until_then, lease[3], 0 })
    taken[#taken + 1] = { whole(token), whole(lease[3]), shown(execution_id, execution) }
    bytes = bytes + #(execution[6] or '')
    left = left - 1
  end
  for turn, space in ipairs(spaces) do
    more = more or left == 0
    local quota = math.ceil(left / (#spaces - turn + 1))
    local skipped, over = 0, left == 0
    while not over do
      local batch = redis.call('ZRANGE', keys[6], '[' .. space, '(' .. space .. padded(time + 1),
        'BYLEX', 'LIMIT', whole(skipped), whole(SCAN_BATCH))
      over = #batch == 0
      for _, member in ipairs(batch) do
        if quota == 0 or bytes > PAGE_BYTES then
          more, over = true, true
          break
        end
        local size = tonumber(string.sub(member, #space + 17, #space + 18), 16)
        local execution_id = string.sub(member, #space + 19 + size)
        local execution = finished(keys, execution_id)
        if not execution then
          redis.call('ZREM', keys[6], member)
        elseif tag and string.sub(member, #space + 17, #space + 18 + size) ~= tag then
          skipped = skipped + 1
        else
          local ids = { execution_id }
          if execution[1] ~= '' then
            ids = beginning(keys, execution_id, execution, tag, math.min(of_a_flow, quota), time)
          end
          if #ids == 0 and redis.call('ZSCORE', keys[6], member) then
            -- Its record cannot be read.
            skipped = skipped + 1
          end
          for _, next_id in ipairs(ids) do
            if bytes > PAGE_BYTES then
              more = true
              break
            end
            give(next_id)
            quota = quota - 1
            last = space
          end
        end
      end
    end
  end
  if more and last and #spaces > 1 then
    redis.call('HSET', keys[1], 'turn', last)
  end
  return { store.number, more and 1 or 0, taken }
end

-- The lease on the execution, if it has this token.
local function held(keys, execution_id, token)
  local lease = lease_of(keys, execution_id)
  if lease[1] ~= 0 and whole(lease[1]) == token then
    return lease
  end
end

-- renew(microseconds, id, token, ...): the tokens of the claims that are void.
local function renew(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local time = now()
  local void = {}
  for at = 2, #args, 2 do
    local lease = held(keys, args[at], args[at + 1])
    local execution = lease and finished(keys, args[at])
    if execution and lease[2] > time then
      set_lease(keys, args[at], execution, { lease[1], time + tonumber(args[1]), lease[3], 0 })
    elseif redis.call('ZSCORE', keys[4], args[at]) then
      void[#void + 1] = args[at + 1]
    end
  end
  return void
end

-- Lets the first of a flow be taken that waits for a claim in its flow alone.
local function unblock(keys, execution)
  local first = execution[1] ~= '' and first_of(keys, execution)
  local lease = first and lease_of(keys, first)
  local first_one = lease and lease[5] and finished(keys, first)
  if first_one then
    set_lease(keys, first, first_one, { 0, 0, lease[3], 0 })
  end
end

-- settle(id, token, verdict, pause in microseconds, error of a dead letter, ...): how many of these claims held.
local function settle(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local trimmed = tonumber(string.match(store.trimmed, '^%d+') or 0)
  local time = now()
  local count = 0
  for at = 1, #args, 5 do
    local execution_id, verdict = args[at], args[at + 2]
    local lease = held(keys, execution_id, args[at + 1])
    local execution = lease and finished(keys, execution_id)
    if execution and verdict == 'handled' then
      unindex(keys, execution_id, execution)
      redis.call('ZREM', keys[4], execution_id)
      redis.call('HDEL', keys[5], execution_id)
      if execution[7] <= trimmed then
        redis.call('HDEL', keys[2], execution_id)
      end
      promote(keys, execution)
    elseif execution and verdict == 'dead' then
      unindex(keys, execution_id, execution)
      redis.call('ZREM', keys[4], execution_id)
      redis.call('ZADD', keys[8], whole(execution[7]), execution_id)
      redis.call('HSET', keys[5], execution_id,
        cmsgpack.pack({ 0, 0, lease[3] + 1, 0, false, args[at + 4] }))
      promote(keys, execution)
    elseif execution and verdict == 'failed' then
      set_lease(keys, execution_id, execution,
        { 0, 0, lease[3] + 1, time + tonumber(args[at + 3]) })
    elseif execution then
      set_lease(keys, execution_id, execution, { 0, 0, lease[3], 0 })
    end
    if execution then
      unblock(keys, execution)
      count = count + 1
    end
  end
  return count
end

-- replay(id...): how many of these were dead letters, and are to be handled again.
local function replay(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local count = 0
  for _, execution_id in ipairs(args) do
    local execution = redis.call('ZSCORE', keys[8], execution_id) and finished(keys, execution_id)
    if execution then
      redis.call('ZREM', keys[8], execution_id)
      redis.call('ZADD', keys[4], whole(execution[7]), execution_id)
      redis.call('HDEL', keys[5], execution_id)
      index(keys, execution_id, execution)
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

-- What frees memory, or is needed on the way there, runs when there is none.
register('install', install, { 'allow-oom' })
register('start', start, {})
register('complete', finish('success'), {})
register('fail', finish('failure'), {})
register('cancel', finish('cancelled'), {})
register('expire', finish('expired'), {})
register('skip', finish('skipped'), {})
register('trim', trim_to, { 'allow-oom' })
register('prune', prune, { 'allow-oom' })
register('head', head, { 'no-writes' })
register('read', read, { 'no-writes' })
register('scan', scan, { 'no-writes' })
register('take', take, { 'allow-oom' })
register('renew', renew, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('replay', replay, { 'allow-oom' })
