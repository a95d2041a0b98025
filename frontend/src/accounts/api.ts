/** The conversations of the person who is signed in, cached by RTK Query. */

import { createApi } from '@reduxjs/toolkit/query/react'

import type {
  ChangedConversation,
  Conversation,
  ConversationPage,
  LinkWithSecret,
  NewConversation,
  NewLink,
} from '../api.ts'
import { type Call, call, type Caller } from './apiCalls.ts'
import type { Refusal } from './refusals.ts'

/** What the store's thunks get. */
export interface Extra {
  origin: string
  caller: Caller
}

interface OfConversation {
  id: string
}

export const api = createApi({
  reducerPath: 'api',
  baseQuery: async (wanted: Call, { extra }): Promise<{ data: unknown } | { error: Refusal }> => {
    const { origin, caller } = extra as Extra
    return call(origin, caller, wanted)
  },
  tagTypes: ['List', 'Conversation'],
  endpoints: (build) => ({
    listConversations: build.infiniteQuery<ConversationPage, undefined, string | null>({
      infiniteQueryOptions: {
        initialPageParam: null,
        getNextPageParam: ({ cursor }) => cursor ?? undefined,
      },
      query: ({ pageParam }) => ({
        path:
          pageParam === null
            ? '/conversations'
            : `/conversations?cursor=${encodeURIComponent(pageParam)}`,
      }),
      providesTags: ['List'],
    }),
    createConversation: build.mutation<Conversation, NewConversation>({
      query: (body) => ({ path: '/conversations', method: 'POST', body }),
      invalidatesTags: ['List'],
    }),
    getConversation: build.query<Conversation, OfConversation>({
      query: ({ id }) => ({ path: pathOf(id) }),
      providesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    renameConversation: build.mutation<Conversation, OfConversation & ChangedConversation>({
      query: ({ id, ...body }) => ({ path: pathOf(id), method: 'PATCH', body }),
      // After a refusal, too: somebody else may have changed it.
      invalidatesTags: (_, __, { id }) => ['List', { type: 'Conversation', id }],
    }),
    shareConversation: build.mutation<LinkWithSecret, OfConversation & NewLink>({
      query: ({ id, ...body }) => ({ path: `${pathOf(id)}/links`, method: 'POST', body }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    revokeLink: build.mutation<Conversation, OfConversation & { linkId: string }>({
      query: ({ id, linkId }) => ({
        path: `${pathOf(id)}/links/${encodeURIComponent(linkId)}`,
        method: 'DELETE',
      }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
  }),
})

function pathOf(id: string): string {
  return `/conversations/${encodeURIComponent(id)}`
}

export const {
  useListConversationsInfiniteQuery,
  useCreateConversationMutation,
  useGetConversationQuery,
  useRenameConversationMutation,
  useShareConversationMutation,
  useRevokeLinkMutation,
} = api
