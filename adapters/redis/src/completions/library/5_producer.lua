
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
  if version == '1' or version == '2' or version == '3' then
    -- The second version kept no errors, and nothing by age; the third knew one group.
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
    probe(keys, args[1])
    redis.call('PUBLISH', keys[3], '')
    local at = now()
    local number = append(keys, store, execution, args[1], at)
    local done = { execution[1], execution[2], execution[3], outcome, at, bytes, number }
    redis.call('HSET', keys[2], args[1], cmsgpack.pack(done))
    if not store.groups[UNNAMED] then
      redis.call('ZADD', keys[4], whole(number), args[1])
      index(keys, args[1], done)
    end
    -- A group whose keys are in the way holds no producer up: the history is not trimmed until they are right.
    store.last = number
    if store.age then
      trim(keys, store, nil, at - store.age, TRIM_OLD_AT_ONCE)
    else
      trim(keys, store, store.retention, nil, TRIM_AT_ONCE)
    end
    return 1
  end
end
