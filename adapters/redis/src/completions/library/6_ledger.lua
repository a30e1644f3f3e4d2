
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
